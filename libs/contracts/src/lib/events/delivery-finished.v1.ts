import { z } from 'zod';

import { DeliveryCode } from '../delivery-codes.js';
import { DestinationKind, Trigger } from '../destinations/destination-kind.js';
import { Channel, ForeignId, Instant, RecipeId, Tenant } from '../identifiers.js';

import { Receipt } from './delivery-attempted.v1.js';

/**
 * A delivery reached its final state. Public fact.
 *
 * - Topics: `delivery.succeeded`, `delivery.failed`; `ce_type`: `heddle.<topic>.v1`.
 * - Key: `<tenant>:<orderNumber>`, or `<tenant>:<recipeId>` for the recipe feed.
 * - Producer: `dispatcher`. Consumers: any other system.
 */
export const DeliveryFinishedV1 = z.object({
  deliveryId: z.uuid(),
  tenant: Tenant,
  channel: Channel,
  integrationId: z.uuid(),
  integrationVersion: z.int().min(1),
  destination: DestinationKind,
  trigger: Trigger,
  /** The event that started the delivery. */
  eventId: z.uuid(),
  orderUid: z.uuid().nullable(),
  orderNumber: ForeignId.nullable(),
  orderId: ForeignId.nullable(),
  recipeIds: z.array(RecipeId),
  /** Version of the order, or of the recipe for the feed. */
  version: z.int().min(1),
  attempts: z.int().min(0),
  /** Of the last attempt; null on success. */
  code: DeliveryCode.nullable(),
  message: z.string().nullable(),
  /** E-mail addresses in them are masked: `h***@factory.example`. */
  receipts: z.array(Receipt),
  acceptedAt: Instant,
  finishedAt: Instant,
});
export type DeliveryFinishedV1 = z.infer<typeof DeliveryFinishedV1>;
export const DELIVERY_SUCCEEDED = 'heddle.delivery.succeeded.v1';
export const DELIVERY_FAILED = 'heddle.delivery.failed.v1';
