import {
  DELIVERY_FAILED,
  DELIVERY_SUCCEEDED,
  DeliveryFinishedV1,
  TOPIC,
  orderKey,
  recipeKey,
} from '@heddle/contracts';
import type { DeliveryCode, Receipt, Trigger } from '@heddle/contracts';
import type { OutboxRow, Tx } from '@heddle/persistence';
import { childOf, newId } from '@heddle/platform';

import { maskedReceipt } from './masked-receipt.js';

/** What every step of a delivery needs to know of it. */
export interface DeliveryFacts {
  readonly deliveryId: string;
  readonly tenant: string;
  readonly channel: string;
  readonly integrationId: string;
  readonly integrationVersion: number;
  readonly destination: string;
  readonly trigger: Trigger;
  readonly eventId: string;
  readonly kind: 'order' | 'recipe' | 'notification';
  readonly subject: string;
  readonly laneKey: string;
  readonly orderNumber: string | null;
  readonly orderId: string | null;
  readonly recipeIds: readonly string[];
  readonly version: number;
  readonly acceptedAt: Date;
  readonly traceparent: string | null;
}

export const DELIVERY_FACTS = `d.delivery_id AS "deliveryId", d.tenant, d.channel,
  d.integration_id AS "integrationId", d.integration_version AS "integrationVersion", d.destination, d.trigger,
  d.event_id AS "eventId", d.kind, d.subject, d.lane_key AS "laneKey", d.order_number AS "orderNumber",
  d.order_id AS "orderId", d.recipe_ids AS "recipeIds", d.version, d.accepted_at AS "acceptedAt", d.traceparent`;

/** `delivery.succeeded` or `delivery.failed`, for the outbox; nothing of a notification, which is no public fact. Addresses are masked. */
export function finishedEvents(
  delivery: DeliveryFacts,
  end: {
    readonly attempts: number;
    /** Null: it succeeded. */
    readonly failure: { readonly code: DeliveryCode; readonly message: string } | null;
    readonly receipts: readonly Receipt[];
    readonly finishedAt: Date;
  },
): readonly OutboxRow[] {
  const { tenant, kind, subject, orderNumber } = delivery;
  if (kind === 'notification') return [];
  const succeeded = end.failure === null;
  const event = DeliveryFinishedV1.parse({
    deliveryId: delivery.deliveryId,
    tenant,
    channel: delivery.channel,
    integrationId: delivery.integrationId,
    integrationVersion: delivery.integrationVersion,
    destination: delivery.destination,
    trigger: delivery.trigger,
    eventId: delivery.eventId,
    orderUid: kind === 'order' ? subject : null,
    orderNumber,
    orderId: delivery.orderId,
    recipeIds: delivery.recipeIds,
    version: delivery.version,
    attempts: end.attempts,
    code: end.failure?.code ?? null,
    message: end.failure?.message ?? null,
    receipts: end.receipts.map(maskedReceipt),
    acceptedAt: delivery.acceptedAt.toISOString(),
    finishedAt: end.finishedAt.toISOString(),
  });
  return [
    {
      topic: succeeded ? TOPIC.deliverySucceeded : TOPIC.deliveryFailed,
      key: orderNumber === null ? recipeKey(tenant, subject) : orderKey(tenant, orderNumber),
      id: newId(),
      type: succeeded ? DELIVERY_SUCCEEDED : DELIVERY_FAILED,
      time: end.finishedAt.toISOString(),
      subject: delivery.deliveryId,
      tenant,
      traceparent: childOf(delivery.traceparent ?? undefined),
      data: JSON.stringify(event),
    },
  ];
}

/**
 * Lets the next delivery of each lane take its turn. To be called after the lane's head was locked and has
 * ended, in a statement of its own, so that a delivery which somebody added meanwhile is seen.
 */
export function promoteLanes(tx: Tx, laneKeys: readonly string[]): void {
  if (laneKeys.length === 0) return;
  tx.post(
    `WITH next AS MATERIALIZED (
       SELECT min(w.delivery_id::text)::uuid AS delivery_id FROM dispatcher.deliveries w
       WHERE w.lane_key = ANY($1) AND w.state = 'waiting' AND NOT EXISTS (
         SELECT FROM dispatcher.deliveries h
         WHERE h.lane_key = w.lane_key AND h.state IN ('ready', 'in-flight', 'retrying'))
       GROUP BY w.lane_key)
     UPDATE dispatcher.deliveries d SET
       state = CASE WHEN d.wait_until > now() THEN 'waiting' ELSE 'ready' END,
       reason = CASE WHEN d.wait_until > now() THEN 'recipe' END, updated_at = now()
     FROM next WHERE d.delivery_id = next.delivery_id AND coalesce(d.reason, '') = 'lane'`,
    [laneKeys],
  );
}
