import type {
  AssociationReceivedV1,
  CancelReason,
  CancellationReceivedV1,
  OrderReason,
  OrderStatus,
} from '@heddle/contracts';

/** One association of an order: (order, itemId, recipeId). Replaced whole with each change. */
export interface ItemState {
  readonly itemId: string;
  readonly recipeId: string;
  /** 0: the line no longer uses the recipe. */
  readonly itemQuantity: number;
  /** Place within the order, by first arrival. */
  readonly position: number;
  /**
   * False for one that was only ever reported with quantity 0: it is remembered, so that an older message
   * which is replayed later loses against it, and shown nowhere.
   */
  readonly listed: boolean;
  /** Offset of the newest message that spoke of it. */
  readonly lastOffset: bigint;
  /** The recipe's version that the order's newest event names; null while the recipe is not there. */
  readonly recipeVersion: number | null;
}

export interface OrderState {
  readonly orderUid: string;
  readonly tenant: string;
  readonly channel: string;
  readonly orderNumber: string;
  readonly orderId: string | null;
  /** Counts the orders of one number: the highest is the newest. No clock decides it. */
  readonly ordinal: number;
  readonly status: OrderStatus;
  /** 0 until the first association: such an order was heard of (a cancel came first) and is shown nowhere. */
  readonly version: number;
  readonly reason: OrderReason | null;
  readonly cancelReason: CancelReason | null;
  /** ISO 8601 UTC, of what led to this version. */
  readonly acceptedAt: string;
  /** In the order of `position`. */
  readonly items: readonly ItemState[];
}

/** One message of `order.received`, in the words of the fold. */
export type OrderMessage = {
  /** Where it stands in its partition; of a replayed dead letter where it first stood. */
  readonly offset: bigint;
  readonly replayed: boolean;
  readonly traceparent: string | undefined;
} & (
  | { readonly kind: 'associations'; readonly data: AssociationReceivedV1 }
  | { readonly kind: 'cancellation'; readonly data: CancellationReceivedV1 }
);

/** What one message did to one order. */
export interface OrderChange {
  readonly topic: 'order.submitted' | 'order.updated' | 'order.cancelled';
  /** The whole order after the change. */
  readonly order: OrderState & { readonly reason: OrderReason };
  readonly traceparent: string | undefined;
}

/** What orders of one number have in common. */
export interface OrderName {
  readonly tenant: string;
  readonly channel: string;
  readonly orderNumber: string;
}

export function orderNameKey({ tenant, channel, orderNumber }: OrderName): string {
  // Neither a tenant nor a channel holds a colon.
  return `${tenant}:${channel}:${orderNumber}`;
}

/** Identity of an association within its order. A tab can be in neither part. */
export function itemKey(itemId: string, recipeId: string): string {
  return `${itemId}\t${recipeId}`;
}

/** Most items of an order with a quantity above 0. Source: architecture, section 3. */
export const MAX_OPEN_ITEMS = 1_000;
