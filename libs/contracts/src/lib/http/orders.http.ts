import { z } from 'zod';

import { OrderChangedV1, OrderReason, OrderStatus } from '../events/order-changed.v1.js';
import { Channel, ForeignId, Instant, RecipeId } from '../identifiers.js';

import { DeliveryState, DeliverySummary } from './deliveries.http.js';
import { QueryFlag, pageOf, paging } from './paging.http.js';

/** What the store knows of. */
const filters = {
  orderNumber: ForeignId.optional(),
  orderId: ForeignId.optional(),
  recipeId: RecipeId.optional(),
  /** Order number, order id or recipe id. */
  search: ForeignId.optional(),
  channel: Channel.optional(),
  status: OrderStatus.optional(),
  /** Orders with an item whose recipe is not there yet. */
  waitingForRecipe: QueryFlag.optional(),
  /** Orders with an item that has waited for its recipe since before. */
  waitingBefore: Instant.optional(),
  updatedSince: Instant.optional(),
};

/** `GET /api/v2/orders`. */
export const OrdersQuery = z.strictObject({
  ...paging,
  ...filters,
  /** Orders with a delivery in this state. */
  deliveryState: DeliveryState.optional(),
});
export type OrdersQuery = z.infer<typeof OrdersQuery>;

/** What the store is asked: the gateway brings the deliveries in. */
export const StoredOrdersQuery = OrdersQuery.omit({ deliveryState: true });
export type StoredOrdersQuery = z.infer<typeof StoredOrdersQuery>;

/** Most orders that one service names to another at a time. */
export const MAX_CHOSEN_ORDERS = 100;

/** Between the services: which of these orders the filters let through. */
export const ChosenOrdersQuery = z.strictObject({
  ...filters,
  orderUids: z
    .string()
    .transform((list) => list.split(','))
    .pipe(z.array(z.uuid()).min(1).max(MAX_CHOSEN_ORDERS)),
});
export type ChosenOrdersQuery = z.infer<typeof ChosenOrdersQuery>;

/** Between the services: orders with a delivery in this state, the last created first. */
export const DeliveredOrdersQuery = z.strictObject({
  state: DeliveryState,
  /** Of those before this one. */
  before: z.uuid().optional(),
});
export type DeliveredOrdersQuery = z.infer<typeof DeliveredOrdersQuery>;
/** Fewer than the most: there are no others. */
export const DeliveredOrders = z.object({ orderUids: z.array(z.uuid()).max(MAX_CHOSEN_ORDERS) });
export type DeliveredOrders = z.infer<typeof DeliveredOrders>;

export const OrderView = OrderChangedV1.extend({
  /** Since when some item has waited for its recipe. Only while one does: the rest is the value of the order's event. */
  waitingSince: Instant.optional(),
});
export type OrderView = z.infer<typeof OrderView>;
export const OrderPage = pageOf(OrderView);

export const OrderVersion = z.object({
  version: z.int(),
  reason: OrderReason,
  eventId: z.uuid(),
  acceptedAt: Instant,
  updatedAt: Instant,
});
export type OrderVersion = z.infer<typeof OrderVersion>;

/** What the store knows of one order; the gateway adds the deliveries. */
export const OrderWithVersions = OrderView.extend({ versions: z.array(OrderVersion) });
export type OrderWithVersions = z.infer<typeof OrderWithVersions>;

/** `GET /api/v2/orders/{orderUid}`. */
export const OrderDetails = OrderWithVersions.extend({
  /** Null while the dispatcher does not answer. */
  deliveries: z.array(DeliverySummary).nullable(),
});
export type OrderDetails = z.infer<typeof OrderDetails>;
