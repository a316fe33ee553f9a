import type { DeliveryReason, DeliveryState, Trigger } from '@heddle/contracts';

/** The newest version of an order, or of a recipe for the feed. */
export interface LaneHead {
  readonly version: number;
  readonly status: 'open' | 'cancelled';
  /** Items wait for their recipes until then; null: nothing is awaited, or no longer. */
  readonly waitUntil: Date | null;
}

export type OpenState = Extract<DeliveryState, 'waiting' | 'ready' | 'in-flight' | 'retrying'>;
export type EndReason = Extract<
  DeliveryReason,
  'newer-version' | 'order-cancelled' | 'integration-disabled' | 'integration-deleted'
>;

/** A delivery of the lane that has not reached its final state. */
export interface LaneDelivery {
  readonly deliveryId: string;
  readonly trigger: Trigger;
  readonly version: number;
  readonly state: OpenState;
  readonly reason: DeliveryReason | null;
  /** It was offered before, so its file set is fixed. */
  readonly frozen: boolean;
  readonly stopReason: EndReason | null;
  readonly waitUntil: Date | null;
}

/** Where a delivery stands that has not gone out yet. */
export interface Standing {
  readonly state: 'waiting' | 'ready';
  readonly reason: Extract<DeliveryReason, 'lane' | 'recipe'> | null;
  readonly version: number;
  readonly waitUntil: Date | null;
}

export type LaneChange =
  | { readonly kind: 'end'; readonly deliveryId: string; readonly reason: EndReason }
  /** In flight: never interrupted, but it gets no further attempt. */
  | { readonly kind: 'stop'; readonly deliveryId: string; readonly reason: EndReason }
  /** Its content is the head's, so it moves with the head until it goes out. */
  | ({ readonly kind: 'refresh'; readonly deliveryId: string } & Standing);

export interface LaneDecision {
  readonly changes: readonly LaneChange[];
  /** The delivery that the event starts. */
  readonly created: Standing | undefined;
}

/** What superseding and cancelling end in. */
export const END_STATE: Readonly<Record<EndReason, 'superseded' | 'cancelled'>> = {
  'newer-version': 'superseded',
  'order-cancelled': 'cancelled',
  'integration-disabled': 'cancelled',
  'integration-deleted': 'cancelled',
};

/**
 * What an event does to one lane: the deliveries of one integration and one order. The order
 * topics have no common order, so the head decides and not the message: `event` may well be
 * older than `head`, and is undefined when it does not start this integration.
 *
 * @param lane.highestVersion of all deliveries that the lane ever had, 0 for none.
 */
export function decideLane(lane: {
  readonly head: LaneHead;
  readonly deliveries: readonly LaneDelivery[];
  readonly highestVersion: number;
  readonly event: { readonly trigger: Trigger; readonly version: number } | undefined;
}): LaneDecision {
  const { head, deliveries, event } = lane;
  const isCancelled = head.status === 'cancelled';
  const starts =
    event !== undefined &&
    event.version > lane.highestVersion &&
    (event.trigger === 'order.cancelled') === isCancelled;

  const changes: LaneChange[] = [];
  const staying: LaneDelivery[] = [];
  for (const delivery of deliveries) {
    const reason = endOf(delivery, isCancelled, starts);
    if (reason === undefined) staying.push(delivery);
    else if (delivery.state !== 'in-flight')
      changes.push({ kind: 'end', deliveryId: delivery.deliveryId, reason });
    else if (delivery.stopReason !== reason && delivery.stopReason !== 'order-cancelled')
      changes.push({ kind: 'stop', deliveryId: delivery.deliveryId, reason });
  }

  const isBusy = deliveries.some(({ state }) => state === 'in-flight');
  const standing = (trigger: Trigger, laneTaken: boolean): Standing => {
    const waitUntil = trigger === 'order.cancelled' ? null : head.waitUntil;
    const reason = laneTaken ? 'lane' : waitUntil === null ? null : 'recipe';
    return { state: reason === null ? 'ready' : 'waiting', reason, version: head.version, waitUntil };
  };

  for (const delivery of staying) {
    if (delivery.frozen || (delivery.state !== 'waiting' && delivery.state !== 'ready')) continue;
    const headOfLane = staying.find((other) => other !== delivery && holdsLane(other));
    const next = standing(delivery.trigger, isBusy || headOfLane !== undefined);
    if (differs(delivery, next)) changes.push({ kind: 'refresh', deliveryId: delivery.deliveryId, ...next });
  }
  const laneTaken = isBusy || staying.some(holdsLane);
  return { changes, created: starts ? standing(event.trigger, laneTaken) : undefined };
}

/** Why a delivery has no reason to go out any more. */
function endOf(delivery: LaneDelivery, isCancelled: boolean, starts: boolean): EndReason | undefined {
  if (isCancelled && delivery.trigger !== 'order.cancelled') return 'order-cancelled';
  // An order that was restored is not reported as cancelled any more.
  if (!isCancelled && delivery.trigger === 'order.cancelled') return 'newer-version';
  return starts ? 'newer-version' : undefined;
}

function holdsLane({ state }: LaneDelivery): boolean {
  return state === 'ready' || state === 'in-flight' || state === 'retrying';
}

function differs(delivery: LaneDelivery, next: Standing): boolean {
  return (
    delivery.state !== next.state ||
    delivery.reason !== next.reason ||
    delivery.version !== next.version ||
    delivery.waitUntil?.getTime() !== next.waitUntil?.getTime()
  );
}
