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
  | 'newer-version'
  | 'repeated'
  | 'order-cancelled'
  | 'integration-disabled'
  | 'integration-deleted'
  | 'by-request'
>;

/** A delivery of the lane that has not reached its final state. */
export interface LaneDelivery {
  readonly deliveryId: string;
  readonly trigger: Trigger;
  /** Somebody asked for it: newer versions end it no more than they end its attempts. */
  readonly isManual: boolean;
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
  /** The delivery that the event, or whoever asked, starts. */
  readonly created: Standing | undefined;
}

/** What superseding and cancelling end in. */
export const END_STATE: Readonly<Record<EndReason, 'superseded' | 'cancelled'>> = {
  'newer-version': 'superseded',
  repeated: 'superseded',
  'order-cancelled': 'cancelled',
  'integration-disabled': 'cancelled',
  'integration-deleted': 'cancelled',
  'by-request': 'cancelled',
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
  const isNews =
    event !== undefined &&
    event.version > lane.highestVersion &&
    (event.trigger === 'order.cancelled') === isCancelled;

  const { changes, staying } = ended(deliveries, (delivery) => endOf(delivery, isCancelled, isNews));
  // A delivery that somebody asked for and that has not gone out takes the newer version with it, every file of it.
  const starts = isNews && !staying.some(({ isManual, frozen }) => isManual && !frozen);
  const standing = follow(head, deliveries, staying, changes);
  return { changes, created: starts ? standing(event.trigger) : undefined };
}

/**
 * What a manual trigger does to one lane: whatever has not gone out makes room for the new delivery, and what is in
 * flight gets no further attempt, for the new one sends the same order again, at its newest version.
 */
export function decideRepeat(lane: {
  readonly head: LaneHead;
  readonly deliveries: readonly LaneDelivery[];
  readonly trigger: Trigger;
}): LaneDecision & { readonly created: Standing } {
  const { head, deliveries, trigger } = lane;
  const { changes, staying } = ended(deliveries, () => 'repeated');
  const standing = follow(head, deliveries, staying, changes);
  return { changes, created: standing(trigger) };
}

/** The deliveries that have a reason to end, and those that stay. */
function ended(
  deliveries: readonly LaneDelivery[],
  reasonOf: (delivery: LaneDelivery) => EndReason | undefined,
): { readonly changes: LaneChange[]; readonly staying: readonly LaneDelivery[] } {
  const changes: LaneChange[] = [];
  const staying: LaneDelivery[] = [];
  for (const delivery of deliveries) {
    const reason = reasonOf(delivery);
    if (reason === undefined) staying.push(delivery);
    else if (delivery.state !== 'in-flight')
      changes.push({ kind: 'end', deliveryId: delivery.deliveryId, reason });
    else if (delivery.stopReason !== reason && delivery.stopReason !== 'order-cancelled')
      changes.push({ kind: 'stop', deliveryId: delivery.deliveryId, reason });
  }
  return { changes, staying };
}

/** Moves what stays along with the head. @returns where a new delivery of the lane stands. */
function follow(
  head: LaneHead,
  deliveries: readonly LaneDelivery[],
  staying: readonly LaneDelivery[],
  changes: LaneChange[],
): (trigger: Trigger) => Standing {
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
  return (trigger) => standing(trigger, laneTaken);
}

/** Why a delivery has no reason to go out any more. */
function endOf(delivery: LaneDelivery, isCancelled: boolean, isNews: boolean): EndReason | undefined {
  if (isCancelled && delivery.trigger !== 'order.cancelled') return 'order-cancelled';
  // An order that was restored is not reported as cancelled any more.
  if (!isCancelled && delivery.trigger === 'order.cancelled') return 'newer-version';
  return isNews && !delivery.isManual ? 'newer-version' : undefined;
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
