import type { CancelReason, OrderReason, OrderStatus } from '@heddle/contracts';

import { MAX_OPEN_ITEMS, itemKey, orderNameKey } from './order-state.js';
import type { ItemState, OrderChange, OrderMessage, OrderName, OrderState } from './order-state.js';

export interface TouchedItem {
  readonly orderUid: string;
  readonly tenant: string;
  readonly item: ItemState;
  readonly isNew: boolean;
}

export interface FoldResult {
  /** One for each message and order that it changed, in the order of the messages. */
  readonly changes: readonly OrderChange[];
  readonly newOrders: readonly OrderState[];
  readonly changedOrders: readonly OrderState[];
  /** Items to be written, also of orders that are not: an item's offset moves without a change of its order. */
  readonly items: readonly TouchedItem[];
  readonly noted: {
    /** Associations without order id that had several orders to join, and joined the newest. */
    readonly joinedNewest: number;
    /** Associations that lost against a newer message: replayed dead letters. */
    readonly outdated: number;
    /** Orders, by `orderUid`, with the number of associations beyond the limit. */
    readonly beyondLimit: ReadonlyMap<string, number>;
  };
}

/**
 * What a chunk of `order.received` does to the orders it speaks of. Pure: the same state and messages give the
 * same result, apart from the ids that `newOrderUid` hands out, and cutting a chunk in two changes nothing.
 *
 * Rules: wire/drive.md 1.4 and architecture section 3; the README lists the decisions taken here.
 *
 * @param known every order of every (tenant, channel, orderNumber) of the messages, with all its items.
 * @param messages of one partition by rising place.
 */
export function foldOrders(
  known: readonly OrderState[],
  messages: readonly OrderMessage[],
  newOrderUid: () => string,
): FoldResult {
  const fold = new Fold(known, newOrderUid);
  for (const message of messages) {
    if (message.kind === 'associations') fold.associate(message);
    else fold.cancel(message);
  }
  return fold.result();
}

type Said<K extends OrderMessage['kind']> = Extract<OrderMessage, { kind: K }>;

/** An order being worked on; never leaves this module. */
class Draft {
  readonly items: Map<string, ItemState>;
  private readonly touched = new Set<string>();
  orderId: string | null;
  status: OrderStatus;
  version: number;
  reason: OrderReason | null;
  cancelReason: CancelReason | null;
  acceptedAt: string;
  openItems = 0;

  dirty = false;
  private readonly knownItems: ReadonlySet<string>;

  constructor(
    private readonly base: OrderState,
    readonly isNew: boolean,
  ) {
    this.items = new Map(base.items.map((item) => [itemKey(item.itemId, item.recipeId), item]));
    this.knownItems = new Set(this.items.keys());
    for (const { itemQuantity } of base.items) if (itemQuantity > 0) this.openItems += 1;
    ({
      orderId: this.orderId,
      status: this.status,
      version: this.version,
      reason: this.reason,
      cancelReason: this.cancelReason,
      acceptedAt: this.acceptedAt,
    } = base);
  }

  get orderUid(): string {
    return this.base.orderUid;
  }

  /** Whether anybody has heard of it. */
  get isPublic(): boolean {
    return this.version > 0;
  }

  get ordinal(): number {
    return this.base.ordinal;
  }

  takeId(orderId: string): void {
    this.orderId = orderId;
    this.dirty = true;
  }

  put(item: ItemState): void {
    const key = itemKey(item.itemId, item.recipeId);
    if ((this.items.get(key)?.itemQuantity ?? 0) > 0) this.openItems -= 1;
    if (item.itemQuantity > 0) this.openItems += 1;
    this.items.set(key, item);
    this.touched.add(key);
  }

  raise(reason: OrderReason, acceptedAt: string): void {
    this.version += 1;
    this.reason = reason;
    this.acceptedAt = acceptedAt;
    this.dirty = true;
  }

  touchedItems(): TouchedItem[] {
    const { orderUid, tenant } = this.base;
    return [...this.touched].flatMap((key) => {
      const item = this.items.get(key);
      return item === undefined ? [] : [{ orderUid, tenant, item, isNew: !this.knownItems.has(key) }];
    });
  }

  state(): OrderState {
    const { orderId, status, version, reason, cancelReason, acceptedAt } = this;
    return {
      ...this.base,
      orderId,
      status,
      version,
      reason,
      cancelReason,
      acceptedAt,
      items: [...this.items.values()],
    };
  }
}

class Fold {
  private readonly drafts = new Map<string, Draft[]>();
  private readonly changes: OrderChange[] = [];
  private readonly beyondLimit = new Map<string, number>();
  private joinedNewest = 0;
  private outdated = 0;

  constructor(
    known: readonly OrderState[],
    private readonly newOrderUid: () => string,
  ) {
    for (const order of known) this.ordersOf(order).push(new Draft(order, false));
    for (const drafts of this.drafts.values()) drafts.sort((a, b) => a.ordinal - b.ordinal);
  }

  associate(message: Said<'associations'>): void {
    const { data, offset, replayed } = message;
    const said = new Map<Draft, Map<string, (typeof data.associations)[number]>>();
    const gotId = new Set<Draft>();
    for (const association of data.associations) {
      const order = this.orderFor(association.orderId, data, gotId);
      const items = said.get(order) ?? new Map<string, typeof association>();
      const key = itemKey(association.itemId, association.recipeId);
      // The last word of a message counts, and has the last word's place.
      items.delete(key);
      said.set(order, items.set(key, association));
    }

    for (const [order, associations] of said) {
      let added = false;
      let changed = false;
      for (const [key, { itemId, recipeId, itemQuantity }] of associations) {
        const before = order.items.get(key);
        if (replayed && before !== undefined && before.lastOffset > offset) {
          this.outdated += 1;
          continue;
        }
        const wasOpen = (before?.itemQuantity ?? 0) > 0;
        if (itemQuantity > 0 && !wasOpen && order.openItems >= MAX_OPEN_ITEMS) {
          this.beyondLimit.set(order.orderUid, (this.beyondLimit.get(order.orderUid) ?? 0) + 1);
          continue;
        }
        const wasListed = before?.listed === true;
        order.put({
          itemId,
          recipeId,
          itemQuantity,
          position: before?.position ?? order.items.size,
          listed: wasListed || itemQuantity > 0,
          lastOffset: offset,
          recipeVersion: before?.recipeVersion ?? null,
        });
        if (!wasListed && itemQuantity > 0) added = true;
        else if (wasListed && before.itemQuantity !== itemQuantity) changed = true;
      }
      if (added) this.raise(order, 'items-changed', message);
      else if (changed) this.raise(order, 'quantity-changed', message);
      else if (gotId.has(order)) this.raise(order, 'order-id-added', message);
    }
  }

  /**
   * A replayed cancel applies like any other: had it been read in its place, the order would be cancelled now
   * all the same, as associations do not reopen one.
   */
  cancel(message: Said<'cancellation'>): void {
    const { data } = message;
    const gotId = new Set<Draft>();
    const all = this.ordersOf(data);
    const addressed =
      data.orderId === undefined && all.length > 0 ? all : [this.orderFor(data.orderId, data, gotId)];
    for (const order of addressed) {
      if (order.status === 'cancelled') {
        if (gotId.has(order)) this.raise(order, 'order-id-added', message);
        continue;
      }
      order.status = 'cancelled';
      order.cancelReason = data.reason ?? null;
      order.dirty = true;
      this.raise(order, 'cancelled', message);
    }
  }

  result(): FoldResult {
    const drafts = [...this.drafts.values()].flat();
    return {
      changes: this.changes,
      newOrders: drafts.filter(({ isNew }) => isNew).map((order) => order.state()),
      changedOrders: drafts.filter(({ isNew, dirty }) => dirty && !isNew).map((order) => order.state()),
      items: drafts.flatMap((order) => order.touchedItems()),
      noted: {
        joinedNewest: this.joinedNewest,
        outdated: this.outdated,
        beyondLimit: this.beyondLimit,
      },
    };
  }

  /** One version and one event; the first one says that the order exists. */
  private raise(order: Draft, reason: OrderReason, { data, traceparent }: OrderMessage): void {
    let topic: OrderChange['topic'] = reason === 'cancelled' ? 'order.cancelled' : 'order.updated';
    let why = reason;
    if (!order.isPublic) {
      // Heard of, but nothing of it is there yet: a cancel that came first, or a quantity of 0.
      if (reason !== 'items-changed') return;
      const open = order.status === 'open';
      topic = open ? 'order.submitted' : 'order.cancelled';
      why = open ? 'submitted' : 'cancelled';
    }
    order.raise(why, data.acceptedAt);
    this.changes.push({ topic, order: { ...order.state(), reason: why }, traceparent });
  }

  /** Finds the order that is meant, or makes it. @param gotId collects orders that took the id. */
  private orderFor(
    orderId: string | undefined,
    of: OrderName & { readonly acceptedAt: string },
    gotId: Set<Draft>,
  ): Draft {
    const orders = this.ordersOf(of);
    if (orderId === undefined) {
      if (orders.length > 1) this.joinedNewest += 1;
      return orders.findLast(({ isPublic }) => isPublic) ?? orders.at(-1) ?? this.newOrder(orders, of, null);
    }
    const exact = orders.find((order) => order.orderId === orderId);
    if (exact !== undefined) return exact;
    const without = orders.find((order) => order.orderId === null);
    if (without === undefined) return this.newOrder(orders, of, orderId);
    without.takeId(orderId);
    gotId.add(without);
    return without;
  }

  private newOrder(
    siblings: Draft[],
    of: OrderName & { readonly acceptedAt: string },
    orderId: string | null,
  ): Draft {
    const { tenant, channel, orderNumber, acceptedAt } = of;
    const order = new Draft(
      {
        orderUid: this.newOrderUid(),
        tenant,
        channel,
        orderNumber,
        orderId,
        ordinal: (siblings.at(-1)?.ordinal ?? 0) + 1,
        status: 'open',
        version: 0,
        reason: null,
        cancelReason: null,
        acceptedAt,
        items: [],
      },
      true,
    );
    siblings.push(order);
    return order;
  }

  private ordersOf(of: OrderName): Draft[] {
    const key = orderNameKey(of);
    let orders = this.drafts.get(key);
    if (orders === undefined) {
      orders = [];
      this.drafts.set(key, orders);
    }
    return orders;
  }
}
