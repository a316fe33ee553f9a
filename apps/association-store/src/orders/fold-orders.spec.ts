import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { foldOrders } from './fold-orders.js';
import type { FoldResult } from './fold-orders.js';
import { MAX_OPEN_ITEMS, itemKey } from './order-state.js';
import type { OrderMessage, OrderState } from './order-state.js';

const ACCEPTED_AT = '2026-01-02T03:04:05.000Z';
const NAME = { tenant: 'demo', channel: 'default', orderNumber: '1001' };

interface Said {
  readonly item: string;
  readonly recipe?: string;
  readonly quantity: number;
  readonly id?: string;
}

function associations(offset: number, said: readonly Said[], replayed = false): OrderMessage {
  return {
    kind: 'associations',
    offset: BigInt(offset),
    replayed,
    traceparent: undefined,
    data: {
      ...NAME,
      acceptedAt: ACCEPTED_AT,
      requestId: 'request',
      associations: said.map(({ item, recipe = 'R1', quantity, id }) => ({
        itemId: item,
        recipeId: recipe,
        itemQuantity: quantity,
        ...(id !== undefined && { orderId: id }),
      })),
    },
  };
}

function cancel(offset: number, orderId?: string, replayed = false): OrderMessage {
  return {
    kind: 'cancellation',
    offset: BigInt(offset),
    replayed,
    traceparent: undefined,
    data: {
      ...NAME,
      acceptedAt: ACCEPTED_AT,
      requestId: 'request',
      reason: 'customer',
      ...(orderId !== undefined && { orderId }),
    },
  };
}

/** What the database does between two chunks: keeps what was to be written. */
class Store {
  private readonly orders = new Map<string, OrderState>();
  private made = 0;
  readonly results: FoldResult[] = [];

  take(...messages: OrderMessage[]): FoldResult {
    const result = foldOrders([...this.orders.values()], messages, () => `uid-${String((this.made += 1))}`);
    for (const order of [...result.newOrders, ...result.changedOrders]) {
      expect(this.orders.has(order.orderUid)).toBe(result.changedOrders.includes(order));
      const items = new Map(
        this.orders.get(order.orderUid)?.items.map((item) => [itemKey(item.itemId, item.recipeId), item]),
      );
      this.orders.set(order.orderUid, { ...order, items: [...items.values()] });
    }
    for (const { orderUid, item, isNew } of result.items) {
      const order = this.orders.get(orderUid)!;
      const items = new Map(order.items.map((known) => [itemKey(known.itemId, known.recipeId), known]));
      expect(items.has(itemKey(item.itemId, item.recipeId))).toBe(!isNew);
      items.set(itemKey(item.itemId, item.recipeId), item);
      const sorted = [...items.values()].sort((a, b) => a.position - b.position);
      this.orders.set(orderUid, { ...order, items: sorted });
    }
    this.results.push(result);
    return result;
  }

  get all(): OrderState[] {
    return [...this.orders.values()];
  }

  /** Without the silent ones. */
  get shown(): OrderState[] {
    return this.all.filter(({ version }) => version > 0);
  }

  get events(): string[] {
    return this.results.flatMap(({ changes }) => changes.map(eventName));
  }
}

function eventName({ topic, order }: FoldResult['changes'][number]): string {
  return `${topic} ${order.orderId ?? '-'} v${String(order.version)} ${order.reason} ${order.status}`;
}

function quantities(order: OrderState | undefined): Record<string, number> {
  return Object.fromEntries(
    (order?.items ?? [])
      .filter(({ listed }) => listed)
      .map(({ itemId, recipeId, itemQuantity }) => [`${itemId}/${recipeId}`, itemQuantity]),
  );
}

describe('what associations do to an order', () => {
  it('submits an order with its first associations, all of a message in one event', () => {
    const store = new Store();
    store.take(
      associations(0, [
        { item: 'a', quantity: 1 },
        { item: 'b', recipe: 'R2', quantity: 2 },
      ]),
    );
    expect(store.events).toEqual(['order.submitted - v1 submitted open']);
    expect(quantities(store.shown[0])).toEqual({ 'a/R1': 1, 'b/R2': 2 });
  });

  it('does nothing when the same comes again', () => {
    const store = new Store();
    const said = [{ item: 'a', quantity: 1 }];
    store.take(associations(0, said));
    const again = store.take(associations(1, said), associations(2, said));
    expect(again.changes).toEqual([]);
    expect([again.newOrders, again.changedOrders]).toEqual([[], []]);
  });

  it('names the weightiest reason once per message and order', () => {
    const store = new Store();
    store.take(associations(0, [{ item: 'a', quantity: 1 }]));
    store.take(associations(1, [{ item: 'a', quantity: 2 }]));
    store.take(associations(2, [{ item: 'a', quantity: 2, id: 'A' }]));
    store.take(
      associations(3, [
        { item: 'a', quantity: 3 },
        { item: 'b', quantity: 1 },
      ]),
    );
    store.take(associations(4, [{ item: 'a', quantity: 0 }]));
    expect(store.events).toEqual([
      'order.submitted - v1 submitted open',
      'order.updated - v2 quantity-changed open',
      'order.updated A v3 order-id-added open',
      'order.updated A v4 items-changed open',
      'order.updated A v5 quantity-changed open',
    ]);
    expect(quantities(store.shown[0])).toEqual({ 'a/R1': 0, 'b/R1': 1 });
  });

  it('takes the last word of a message for each association', () => {
    const store = new Store();
    store.take(
      associations(0, [
        { item: 'a', quantity: 1 },
        { item: 'a', quantity: 7 },
      ]),
    );
    expect(store.events).toEqual(['order.submitted - v1 submitted open']);
    expect(quantities(store.shown[0])).toEqual({ 'a/R1': 7 });
  });

  it('keeps orders of another id apart, and lets an item without id join the newest', () => {
    const store = new Store();
    store.take(associations(0, [{ item: 'a', quantity: 1 }]));
    store.take(associations(1, [{ item: 'b', quantity: 1, id: 'A' }]));
    store.take(associations(2, [{ item: 'c', quantity: 1, id: 'B' }]));
    const joined = store.take(associations(3, [{ item: 'd', quantity: 1 }]));
    expect(store.shown.map((order) => [order.orderId, quantities(order)])).toEqual([
      ['A', { 'a/R1': 1, 'b/R1': 1 }],
      ['B', { 'c/R1': 1, 'd/R1': 1 }],
    ]);
    expect(joined.noted.joinedNewest).toBe(1);
  });

  it('makes no order of a quantity of 0, and no version of one for an unknown item', () => {
    const store = new Store();
    store.take(associations(0, [{ item: 'a', quantity: 0 }]));
    expect(store.shown).toEqual([]);
    store.take(associations(1, [{ item: 'b', quantity: 1 }]));
    store.take(associations(2, [{ item: 'c', quantity: 0 }]));
    expect(store.events).toEqual(['order.submitted - v1 submitted open']);
    expect(quantities(store.shown[0])).toEqual({ 'b/R1': 1 });
  });

  it('stores no more than the limit of open items, and counts the rest', () => {
    const store = new Store();
    const items = Array.from({ length: MAX_OPEN_ITEMS }, (_, n) => ({ item: `i${String(n)}`, quantity: 1 }));
    store.take(associations(0, items));
    const over = store.take(
      associations(1, [
        { item: 'x', quantity: 1 },
        { item: 'y', quantity: 1 },
      ]),
    );
    expect(over.changes).toEqual([]);
    expect([...over.noted.beyondLimit.values()]).toEqual([2]);
    store.take(
      associations(2, [
        { item: 'i0', quantity: 0 },
        { item: 'x', quantity: 1 },
      ]),
    );
    expect(quantities(store.shown[0])['x/R1']).toBe(1);
  });
});

describe('what a cancel does', () => {
  it('cancels a known order once', () => {
    const store = new Store();
    store.take(associations(0, [{ item: 'a', quantity: 1 }]));
    store.take(cancel(1), cancel(2));
    expect(store.events.slice(1)).toEqual(['order.cancelled - v2 cancelled cancelled']);
    expect(store.shown[0]?.cancelReason).toBe('customer');
  });

  it('cancels every order of the number when it names no id', () => {
    const store = new Store();
    store.take(
      associations(0, [
        { item: 'a', quantity: 1, id: 'A' },
        { item: 'b', quantity: 1, id: 'B' },
      ]),
    );
    store.take(cancel(1));
    expect(store.shown.map(({ status }) => status)).toEqual(['cancelled', 'cancelled']);
  });

  it('cancels the one that has the id, or the one still without, which takes it', () => {
    const store = new Store();
    store.take(
      associations(0, [
        { item: 'a', quantity: 1, id: 'A' },
        { item: 'b', quantity: 1, id: 'B' },
      ]),
    );
    store.take(cancel(1, 'A'));
    expect(store.shown.map(({ status }) => status)).toEqual(['cancelled', 'open']);

    const other = new Store();
    other.take(associations(0, [{ item: 'a', quantity: 1 }]));
    other.take(cancel(1, 'A'));
    expect(other.events.slice(1)).toEqual(['order.cancelled A v2 cancelled cancelled']);
  });

  it.each([[undefined], ['A']])('keeps a cancel (id %s) until its order comes, and submits nothing', (id) => {
    const store = new Store();
    store.take(cancel(0, id));
    expect(store.shown).toEqual([]);
    store.take(associations(1, [{ item: 'a', quantity: 1, id: 'A' }]));
    store.take(associations(2, [{ item: 'b', quantity: 1 }]));
    expect(store.events).toEqual([
      'order.cancelled A v1 cancelled cancelled',
      'order.updated A v2 items-changed cancelled',
    ]);
  });

  it('leaves an order alone whose id it does not name', () => {
    const store = new Store();
    store.take(associations(0, [{ item: 'a', quantity: 1, id: 'A' }]));
    store.take(cancel(1, 'B'));
    store.take(associations(2, [{ item: 'b', quantity: 1 }]));
    expect(store.events).toEqual([
      'order.submitted A v1 submitted open',
      'order.updated A v2 items-changed open',
    ]);
  });
});

describe('a replayed dead letter', () => {
  it('loses against anything newer of the same association, a repetition or a removal too', () => {
    const store = new Store();
    store.take(associations(1, [{ item: 'a', quantity: 1 }]));
    // Offset 5 was set aside.
    store.take(
      associations(8, [
        { item: 'a', quantity: 1 },
        { item: 'b', quantity: 0 },
      ]),
    );
    const replay = store.take(
      associations(
        5,
        [
          { item: 'a', quantity: 9 },
          { item: 'b', quantity: 9 },
          { item: 'c', quantity: 3 },
        ],
        true,
      ),
    );
    expect(replay.noted.outdated).toBe(2);
    expect(quantities(store.shown[0])).toEqual({ 'a/R1': 1, 'c/R1': 3 });
  });

  it('still cancels, as it would have in its place', () => {
    const store = new Store();
    store.take(associations(8, [{ item: 'a', quantity: 1 }]));
    store.take(cancel(5, undefined, true));
    expect(store.shown[0]?.status).toBe('cancelled');
  });

  it('is no measure for messages that come in turn, whatever their offsets', () => {
    const store = new Store();
    store.take(associations(1_000, [{ item: 'a', quantity: 1 }]));
    store.take(associations(3, [{ item: 'a', quantity: 2 }]));
    expect(quantities(store.shown[0])).toEqual({ 'a/R1': 2 });
  });
});

const ids = fc.option(fc.constantFrom('A', 'B', 'C'), { nil: undefined });
const said = fc.record(
  {
    item: fc.constantFrom('a', 'b', 'c'),
    recipe: fc.constantFrom('R1', 'R2'),
    quantity: fc.constantFrom(0, 1, 2),
    id: fc.constantFrom('A', 'B', 'C'),
  },
  { requiredKeys: ['item', 'recipe', 'quantity'] },
);
const script = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.array(said, { minLength: 1, maxLength: 4 }).map((all) => ({ all })) },
      { weight: 1, arbitrary: ids.map((id) => ({ id })) },
    ),
    { maxLength: 14 },
  )
  .map((steps) =>
    steps.map((step, offset) => ('all' in step ? associations(offset, step.all) : cancel(offset, step.id))),
  );

describe('whatever upstreams say', () => {
  it('chunks decide nothing: together or one by one, the same orders and the same events', () => {
    fc.assert(
      fc.property(script, fc.array(fc.boolean()), (messages, cuts) => {
        const whole = new Store();
        whole.take(...messages);
        const parts = new Store();
        let chunk: OrderMessage[] = [];
        messages.forEach((message, index) => {
          chunk.push(message);
          if (cuts[index] !== false) return;
          parts.take(...chunk);
          chunk = [];
        });
        parts.take(...chunk);
        expect(parts.events).toEqual(whole.events);
        expect(parts.all).toEqual(whole.all);
      }),
      { numRuns: 500 },
    );
  });

  it('versions grow by one, each with one event that holds the order as it then is', () => {
    fc.assert(
      fc.property(script, (messages) => {
        const store = new Store();
        const versions = new Map<string, number>();
        for (const message of messages) {
          const { changes } = store.take(message);
          const orders = changes.map(({ order }) => order.orderUid);
          expect(new Set(orders).size).toBe(orders.length);
          for (const { order, topic } of changes) {
            const before = versions.get(order.orderUid) ?? 0;
            expect(order.version).toBe(before + 1);
            expect(topic === 'order.submitted').toBe(before === 0 && order.status === 'open');
            versions.set(order.orderUid, order.version);
            expect(store.all.find(({ orderUid }) => orderUid === order.orderUid)).toEqual(order);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('no event without a change, no change without an event', () => {
    fc.assert(
      fc.property(script, (messages) => {
        const store = new Store();
        const facts = (): string =>
          JSON.stringify(
            store.shown.map((order) => [order.orderUid, order.orderId, order.status, quantities(order)]),
          );
        for (const message of messages) {
          const before = facts();
          const { changes } = store.take(message);
          expect(changes.length > 0).toBe(facts() !== before);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a message that comes again at once changes nothing', () => {
    fc.assert(
      fc.property(script, (messages) => {
        const store = new Store();
        for (const message of messages) {
          store.take(message);
          // A message that says both `without id` and `another id` names another order the second time.
          if (message.kind === 'associations' && mixesIds(message)) continue;
          expect(store.take(message).changes).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('one order for each id, at most one without, and a cancelled one stays cancelled', () => {
    fc.assert(
      fc.property(script, (messages) => {
        const store = new Store();
        const cancelled = new Set<string>();
        for (const message of messages) {
          store.take(message);
          const orderIds = store.all.map(({ orderId }) => orderId);
          expect(new Set(orderIds).size).toBe(orderIds.length);
          for (const { orderUid, status } of store.all) {
            if (cancelled.has(orderUid)) expect(status).toBe('cancelled');
            if (status === 'cancelled') cancelled.add(orderUid);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a set-aside association that is replayed last leaves the quantities of its own place', () => {
    fc.assert(
      fc.property(script, fc.nat(), (messages, pick) => {
        const single = messages.map((message) => withoutIds(message));
        const index = pick % Math.max(single.length, 1);
        const late = single[index];
        if (late?.kind !== 'associations') return;
        const inPlace = new Store();
        inPlace.take(...single);
        const replayed = new Store();
        replayed.take(...single.filter((message) => message !== late), { ...late, replayed: true });
        // An order whose every line was taken back holds nothing: in its place it was shown once, replayed it never was.
        const open = (store: Store): unknown =>
          store.shown
            .map(
              (order) =>
                [
                  order.status,
                  Object.entries(quantities(order))
                    .filter(([, quantity]) => quantity > 0)
                    .sort(),
                ] as const,
            )
            .filter(([, lines]) => lines.length > 0);
        expect(open(replayed)).toEqual(open(inPlace));
      }),
      { numRuns: 500 },
    );
  });
});

function mixesIds(message: Extract<OrderMessage, { kind: 'associations' }>): boolean {
  const all = message.data.associations.map(({ orderId }) => orderId);
  return all.includes(undefined) && all.some((id) => id !== undefined);
}

function withoutIds(message: OrderMessage): OrderMessage {
  if (message.kind === 'cancellation') {
    const { orderId: _, ...data } = message.data;
    return { ...message, data };
  }
  const all = message.data.associations.map(({ orderId: _, ...association }) => association);
  return { ...message, data: { ...message.data, associations: all } };
}
