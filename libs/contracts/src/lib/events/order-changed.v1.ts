import { z } from 'zod';

import { ManifestFile } from '../file-manifest.js';
import { Channel, ForeignId, Instant, RecipeId, Tenant } from '../identifiers.js';

import { CancelReason } from './cancellation-received.v1.js';

export const ORDER_STATUSES = ['open', 'cancelled'] as const;
export const OrderStatus = z.enum(ORDER_STATUSES);
export type OrderStatus = z.infer<typeof OrderStatus>;

/** Why an order has its version. */
export const ORDER_REASONS = [
  'submitted',
  'items-changed',
  'quantity-changed',
  'order-id-added',
  'recipe-linked',
  'recipe-updated',
  'cancelled',
  'restored',
] as const;
export const OrderReason = z.enum(ORDER_REASONS);
export type OrderReason = z.infer<typeof OrderReason>;

export const OrderItem = z.object({
  itemId: ForeignId,
  recipeId: RecipeId,
  itemQuantity: z.int().min(0),
  recipe: z.discriminatedUnion('state', [
    z.object({ state: z.literal('linked'), version: z.int().min(1), files: z.array(ManifestFile) }),
    z.object({ state: z.literal('waiting'), version: z.null(), files: z.array(ManifestFile).max(0) }),
  ]),
});
export type OrderItem = z.infer<typeof OrderItem>;

/**
 * One order, whole, at one version. Public fact.
 *
 * - Topics: `order.submitted`, `order.updated`, `order.cancelled`;
 *   `ce_type`: `heddle.<topic>.v1`.
 * - Key: `<tenant>:<orderNumber>`.
 * - Producer: `association-store`. Consumers: `dispatcher` and any other system.
 *
 * The three topics have no common order: keep the highest `version` of each `orderUid`.
 * It carries all that a consumer needs, so nobody asks back.
 */
export const OrderChangedV1 = z.object({
  orderUid: z.uuid(),
  tenant: Tenant,
  channel: Channel,
  orderNumber: ForeignId,
  orderId: ForeignId.nullable(),
  status: OrderStatus,
  /** Grows by one with each change of the order. */
  version: z.int().min(1),
  reason: OrderReason,
  cancelReason: CancelReason.nullable(),
  /** When the gateway accepted what led to this version. */
  acceptedAt: Instant,
  updatedAt: Instant,
  items: z.array(OrderItem),
});
export type OrderChangedV1 = z.infer<typeof OrderChangedV1>;
export const ORDER_SUBMITTED = 'heddle.order.submitted.v1';
export const ORDER_UPDATED = 'heddle.order.updated.v1';
export const ORDER_CANCELLED = 'heddle.order.cancelled.v1';
