import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import type { AssociationReceivedV1 } from '@heddle/contracts';
import { inTransaction, query } from '@heddle/persistence';
import { newId } from '@heddle/platform';
import { eventually } from '@heddle/testing';

import { sweepLinks } from '../src/links/link.repository.js';
import { purgeHistory } from '../src/operations/history-purge.js';
import { chosenOrders, findOrder, listOrders } from '../src/orders/order.queries.js';
import { insertPlaceholders, shareRecipes, writeOrders } from '../src/orders/order.repository.js';
import { foldOrders } from '../src/orders/fold-orders.js';
import { factsOf, readDocument } from '../src/recipes/document-facts.js';
import { foldRecipes } from '../src/recipes/fold-recipes.js';
import { findDocument, lockRecipes, queueLinks, writeRecipes } from '../src/recipes/recipe.repository.js';
import { SCHEMA } from '../src/schema/migrations.js';

import { ACCEPTED_AT, PUBLIC, StoreUnderTest, summary } from './support.js';

let store: StoreUnderTest;
beforeAll(async () => {
  store = await StoreUnderTest.start();
}, 60_000);
afterAll(async () => store.close());
beforeEach(async () => store.clear());

const READER = { tenant: 'demo', channel: undefined };
const recipe = (id: string, more: object = {}): object => ({
  id,
  name: `Cap ${id}`,
  views: [{ code: 'Front', productionReady: true, production: `//files.example/${id}.pdf` }],
  ...more,
});

async function all(query: Partial<Parameters<typeof listOrders>[2]> = {}): Promise<string[]> {
  const { items } = await listOrders(store.dataSource, READER, { limit: 200, ...query });
  return items.map(({ orderNumber, version }) => `${orderNumber} v${String(version)}`);
}

describe('a chunk of order messages', () => {
  it('becomes rows and events at once, the whole order in each event', async () => {
    await store.save(recipe('R1'));
    await store.say(
      {
        order: '1',
        items: [
          { item: 'a', quantity: 2 },
          { item: 'b', recipe: 'R2' },
        ],
      },
      { order: '2', items: [{ item: 'a', id: 'A' }] },
      { order: '1', items: [{ item: 'a', quantity: 3 }] },
    );
    const events = await store.published();
    expect(events.map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.submitted 2 v1 submitted open',
      'order.updated 1 v2 quantity-changed open',
    ]);
    expect(events.map(({ key }) => key)).toEqual(['demo:1', 'demo:2', 'demo:1']);
    const last = events[2]!.order;
    expect(last).toMatchObject({ acceptedAt: ACCEPTED_AT, orderId: null });
    expect(
      last.items.map(({ itemId, itemQuantity, recipe: { state, version } }) => [
        itemId,
        itemQuantity,
        state,
        version,
      ]),
    ).toEqual([
      ['a', 3, 'linked', 1],
      ['b', 1, 'waiting', null],
    ]);
    expect(last.items[0]!.recipe.files.map(({ name }) => name)).toEqual([
      'Recipe.json',
      'Ticket.pdf',
      'Production-Front.pdf',
    ]);

    const { items: read } = await listOrders(store.dataSource, READER, { limit: 10, orderNumber: '1' });
    expect(read).toEqual([{ ...last, waitingSince: expect.any(String) }]);
    const { versions, ...found } = (await findOrder(store.dataSource, READER, last.orderUid))!;
    expect(found).toEqual({ ...last, waitingSince: expect.any(String) });
    expect(versions.map(({ version, reason }) => [version, reason])).toEqual([
      [2, 'quantity-changed'],
      [1, 'submitted'],
    ]);
  });

  it('changes nothing when it is handed in twice', async () => {
    const batch = store.ordersBatch(3, [
      { order: '1', items: [{ item: 'a' }] },
      { order: '1', cancel: true },
    ]);
    await store.takeOrders(batch);
    await store.takeOrders(batch);
    expect((await store.published()).map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.cancelled 1 v2 cancelled cancelled',
    ]);
  });

  it('changes nothing when a stale group member hands it in at the same time', async () => {
    const said = Array.from({ length: 50 }, (_, n) => ({
      order: String(n % 10),
      items: [{ item: `i${String(n)}` }],
    }));
    const batch = store.ordersBatch(0, said);
    await Promise.all([store.takeOrders(batch), store.takeOrders(batch), store.takeOrders(batch)]);
    expect(await store.published()).toHaveLength(50);
    expect(await store.count('order_versions')).toBe(50);
    expect(await store.count('order_items')).toBe(50);
  });

  it('takes what is new of a chunk that overlaps the last one', async () => {
    const first = store.ordersBatch(0, [{ order: '1', items: [{ item: 'a' }] }]);
    const second = store.ordersBatch(0, [{ order: '1', items: [{ item: 'b' }] }]);
    await store.takeOrders(first);
    await store.takeOrders({
      ...second,
      chunks: second.chunks.map((chunk) => ({ ...chunk, firstOffset: '0' })),
      events: [...first.events, ...second.events],
    });
    expect((await store.published()).map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.updated 1 v2 items-changed open',
    ]);
  });

  it('takes several partitions at once, and skips in each what was there before', async () => {
    const [one, other] = [0, 1].map((partition) =>
      store.ordersBatch(partition, [{ order: `of ${String(partition)}`, items: [{ item: 'a' }] }]),
    );
    const more = store.ordersBatch(1, [{ order: 'of 1', items: [{ item: 'b' }] }]);
    await store.takeOrders(other!);
    await store.takeOrders({
      topic: one!.topic,
      chunks: [...one!.chunks, ...more.chunks],
      events: [...one!.events, ...other!.events, ...more.events],
    });
    expect((await store.published()).map(summary)).toEqual([
      'order.submitted of 1 v1 submitted open',
      'order.submitted of 0 v1 submitted open',
      'order.updated of 1 v2 items-changed open',
    ]);
  });

  it('brings back nothing old when it is handed in again after newer ones', async () => {
    const old = store.ordersBatch(0, [{ order: '1', items: [{ item: 'a', quantity: 1 }] }]);
    await store.takeOrders(old);
    await store.say({ order: '1', items: [{ item: 'a', quantity: 2 }] });
    await store.takeOrders(old);
    const events = await store.published();
    expect(events).toHaveLength(2);
    expect(events[1]!.order.items[0]!.itemQuantity).toBe(2);
    const oldRecipe = store.recipesBatch(0, [recipe('R1')]);
    await store.takeRecipes(oldRecipe);
    await store.save(recipe('R1', { colour: 'red' }));
    await store.takeRecipes(oldRecipe);
    expect(await store.publishedRecipes()).toHaveLength(2);
  });

  it('leaves nothing of itself behind when it fails, and names the data as the fault', async () => {
    const batch = store.ordersBatch(0, [
      { order: '1', items: [{ item: 'a' }] },
      { order: '2\u0000', items: [{ item: 'a' }] },
    ]);
    await expect(store.takeOrders(batch)).rejects.toMatchObject({ fault: 'poison' });
    expect(await store.count('orders')).toBe(0);
    expect(await store.count('consumed_positions')).toBe(0);
  });

  it('is cut where its events together would be too much, and still leaves one version each', async () => {
    const views = Array.from({ length: 40 }, (_, n) => ({
      code: `View${String(n)}`,
      previewPng: `https://img.example/${'x'.repeat(100)}/${String(n)}.png`,
    }));
    await store.save({ id: 'R1', views });
    const items = Array.from({ length: 300 }, (_, n) => ({ item: `i${String(n)}` }));
    await store.say({ order: '1', items }, { order: '2', items });
    const said = Array.from({ length: 10 }, (_, n) => ({
      order: '1',
      items: [{ item: 'i0', quantity: n + 2 }],
    }));
    const batch = store.ordersBatch(0, said);
    await store.takeOrders(batch);
    await store.takeOrders(batch);
    expect(await store.count('order_versions')).toBe(12);
    expect(await store.count(`consumed_positions WHERE next_offset = 12`)).toBe(1);
    await query(store.dataSource, `TRUNCATE ${SCHEMA}.outbox`);
    await store.save({ id: 'R1', views, more: true });
    await store.linkAll(2);
    expect(await store.count('order_versions')).toBe(14);
  }, 60_000);

  it('keeps channels apart', async () => {
    await store.say(
      { order: '1', items: [{ item: 'a' }] },
      { order: '1', channel: 'b', items: [{ item: 'a' }] },
    );
    expect((await store.published()).map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.submitted 1 v1 submitted open',
    ]);
    expect(
      (await listOrders(store.dataSource, { tenant: 'demo', channel: 'b' }, { limit: 9 })).items,
    ).toHaveLength(1);
  });

  it('keeps a cancel until its order comes', async () => {
    await store.say({ order: '1', cancel: true, id: 'A' });
    expect(await all()).toEqual([]);
    await store.say({ order: '1', items: [{ item: 'a', id: 'A' }] });
    expect((await store.published()).map(summary)).toEqual(['order.cancelled 1 v1 cancelled cancelled']);
  });
});

describe('recipes', () => {
  it('are created, updated, and left alone when the same content comes again', async () => {
    await store.save({ id: 'R1', a: 1, b: 2 });
    await store.save({ id: 'R1', b: 2, a: 1 }, { id: 'R1', a: 2 }, { id: 'R2' });
    expect(
      (await store.publishedRecipes()).map(({ topic, recipe: { recipeId, version } }) => [
        topic,
        recipeId,
        version,
      ]),
    ).toEqual([
      ['recipe.created', 'R1', 1],
      ['recipe.updated', 'R1', 2],
      ['recipe.created', 'R2', 1],
    ]);
  });

  it('say when they become permanent, and not again', async () => {
    await store.save({ id: 'R1', temporary: true });
    await store.save({ id: 'R1', temporary: true, a: 1 });
    await store.save({ id: 'R1', a: 1 });
    await store.save({ id: 'R1', a: 2 });
    expect(
      (await store.publishedRecipes()).map(({ recipe: { version, temporary, becamePermanent } }) => [
        version,
        temporary,
        becamePermanent,
      ]),
    ).toEqual([
      [1, true, undefined],
      [2, true, undefined],
      [3, false, true],
      [4, false, undefined],
    ]);
  });

  it('come back as the text that was sent, the newest or a given version', async () => {
    await store.save({ id: 'R1', emoji: '🧵', nul: '\\u0000' }, { id: 'R1', other: true });
    const name = { tenant: 'demo', recipeId: 'R1' };
    expect((await findDocument(store.dataSource, name, 1))?.document).toBe(
      JSON.stringify({ id: 'R1', emoji: '🧵', nul: '\\u0000' }, null, 1),
    );
    expect((await findDocument(store.dataSource, name))?.document).toContain('other');
    expect(await findDocument(store.dataSource, name, 3)).toBeUndefined();
    expect(await findDocument(store.dataSource, { ...name, tenant: 'other' })).toBeUndefined();
  });

  it('let a filter through of the orders that somebody names, the last created first', async () => {
    await store.say(
      { order: '1', items: [{ item: 'a', recipe: 'R1' }] },
      { order: '2', items: [{ item: 'a', recipe: 'R1' }] },
      { order: '3', items: [{ item: 'a', recipe: 'R1' }] },
      { order: '4', items: [{ item: 'a', recipe: 'R1' }] },
      { order: '3', cancel: true },
    );
    const { items } = await listOrders(store.dataSource, READER, { limit: 200 });
    const uids = items.flatMap(({ orderUid, orderNumber }) => (orderNumber === '4' ? [] : orderUid));
    const chosen = async (reader: typeof READER, filters: object = {}): Promise<string[]> =>
      (await chosenOrders(store.dataSource, reader, { orderUids: uids.toSorted(), ...filters })).map(
        ({ orderNumber }) => orderNumber,
      );
    expect(await chosen(READER)).toEqual(['3', '2', '1']);
    expect(await chosen(READER, { status: 'open' })).toEqual(['2', '1']);
    expect(await chosen({ ...READER, tenant: 'other' })).toEqual([]);
  });

  it('are linked to the orders that waited for them, in one event for each order', async () => {
    await store.say({
      order: '1',
      items: [
        { item: 'a', recipe: 'R1' },
        { item: 'b', recipe: 'R2' },
      ],
    });
    expect(await all({ waitingForRecipe: true })).toEqual(['1 v1']);
    await store.save(recipe('R1'), recipe('R2'));
    await store.linkAll();
    const events = await store.published();
    expect(events.map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.updated 1 v2 recipe-linked open',
    ]);
    expect(events[1]!.order.items.map(({ recipe: { state } }) => state)).toEqual(['linked', 'linked']);
    expect(await all({ waitingForRecipe: true })).toEqual([]);
    expect(await all({ waitingForRecipe: false })).toEqual(['1 v2']);
    await store.linkAll();
    expect(await store.published()).toHaveLength(2);
    expect(await store.count('links_due')).toBe(0);
  });

  it('that change reach young open orders that use them, and no others', async () => {
    await store.save(recipe('R1'));
    await store.say(
      { order: 'open', items: [{ item: 'a' }] },
      { order: 'old', items: [{ item: 'a' }] },
      { order: 'gone', items: [{ item: 'a' }] },
      { order: 'gone', cancel: true },
      { order: 'zero', items: [{ item: 'a' }, { item: 'b', recipe: 'R9' }] },
      { order: 'zero', items: [{ item: 'a', quantity: 0 }] },
    );
    await query(
      store.dataSource,
      `UPDATE ${SCHEMA}.orders SET created_at = now() - interval '31 days' WHERE order_number = 'old'`,
    );
    const before = (await store.published()).length;
    await store.save(recipe('R1', { colour: 'red' }));
    await store.linkAll();
    const events = (await store.published()).slice(before);
    expect(events.map(summary)).toEqual(['order.updated open v2 recipe-updated open']);
    expect(events[0]!.order.items[0]!.recipe.version).toBe(2);
  });

  it('that come late reach cancelled orders too, so that nobody takes them for waiting', async () => {
    await store.say({ order: '1', items: [{ item: 'a' }] }, { order: '1', cancel: true });
    await store.save(recipe('R1'));
    await store.linkAll();
    expect((await store.published()).map(summary).at(-1)).toBe('order.updated 1 v3 recipe-linked cancelled');
  });

  it('used by many orders are linked over many transactions, and hold up no other', async () => {
    const orders = Array.from({ length: 230 }, (_, n) => ({
      order: `many-${String(n)}`,
      items: [{ item: 'a' }],
    }));
    await store.say(...orders, { order: 'single', items: [{ item: 'a', recipe: 'R2' }] });
    await store.save(recipe('R1'), recipe('R2'));
    const before = (await store.published()).length;
    // The first step of ten orders gives each of the two recipes five.
    const steps = await store.linkAll(10);
    expect(steps).toBeGreaterThan(20);
    const events = (await store.published()).slice(before);
    expect(events).toHaveLength(231);
    expect(new Set(events.map(({ order }) => order.orderUid)).size).toBe(231);
    expect(events.findIndex(({ order }) => order.orderNumber === 'single')).toBeLessThan(10);
  });

  it('are named in their newest version by the next change of an order, and then nothing is left to link', async () => {
    await store.save(recipe('R1'));
    await store.say({ order: '1', items: [{ item: 'a' }] });
    await store.save(recipe('R1', { colour: 'red' }));
    await store.say({ order: '1', items: [{ item: 'a', quantity: 5 }] });
    await store.linkAll();
    const events = await store.published();
    expect(events.map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.updated 1 v2 quantity-changed open',
    ]);
    expect(events[1]!.order.items[0]!.recipe.version).toBe(2);
  });

  it('that were missed are found by the sweep, counted, and linked', async () => {
    await store.say({ order: '1', items: [{ item: 'a' }] });
    await store.save(recipe('R1'));
    expect(await sweepLinks(store.dataSource, 0)).toMatchObject({
      missedLinks: 0,
      waitingItems: 1,
      linksDue: 1,
    });
    await query(store.dataSource, `DELETE FROM ${SCHEMA}.links_due`);
    expect(await sweepLinks(store.dataSource, 0)).toMatchObject({ missedLinks: 1 });
    await store.linkAll();
    expect((await store.published()).map(summary).at(-1)).toBe('order.updated 1 v2 recipe-linked open');
    expect(await sweepLinks(store.dataSource, 0)).toMatchObject({ missedLinks: 0, waitingItems: 0 });
  });
});

describe('no link is missed and nobody waits for ever', () => {
  const name = { tenant: 'demo', recipeId: 'R1' };
  const waitingForLocks = async (): Promise<number> => {
    const [row] = await query<{ count: string }>(
      store.dataSource,
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return Number(row?.count);
  };

  it('when a recipe comes between the look of an order at it and the commit of that order', async () => {
    await inTransaction(store.dataSource, (tx) => insertPlaceholders(tx, [name], new Date()));
    const looked = Promise.withResolvers<undefined>();
    const go = Promise.withResolvers<undefined>();
    const order = inTransaction(store.dataSource, async (tx) => {
      const [event] = store.ordersBatch(0, [{ order: '1', items: [{ item: 'a' }] }]).events;
      const data = event!.data as AssociationReceivedV1;
      const message = {
        kind: 'associations',
        offset: 0n,
        replayed: false,
        traceparent: undefined,
        data,
      } as const;
      const result = foldOrders([], [message], newId);
      const recipes = await shareRecipes(tx, [name]);
      looked.resolve(undefined);
      await go.promise;
      writeOrders(tx, result, recipes, new Date());
    });
    await looked.promise;
    const saved = store.save(recipe('R1'));
    await eventually(async () => expect(await waitingForLocks()).toBe(1), { withinMs: 5_000 });
    go.resolve(undefined);
    await Promise.all([order, saved]);
    await store.linkAll();
    expect((await store.published()).map(summary)).toEqual([
      'order.submitted 1 v1 submitted open',
      'order.updated 1 v2 recipe-linked open',
    ]);
  });

  it('when an order comes between the lock of a recipe and the commit of that recipe', async () => {
    await inTransaction(store.dataSource, (tx) => insertPlaceholders(tx, [name], new Date()));
    const locked = Promise.withResolvers<undefined>();
    const go = Promise.withResolvers<undefined>();
    const [event] = store.recipesBatch(0, [recipe('R1')]).events;
    const saved = inTransaction(store.dataSource, async (tx) => {
      const { recipeId } = event!.data;
      const facts = factsOf(readDocument(event!.data, PUBLIC), [], { recipeId, hub: PUBLIC });
      const message = { offset: 0n, replayed: false, traceparent: undefined, data: event!.data, facts };
      const result = foldRecipes(await lockRecipes(tx, [name]), [message]);
      writeRecipes(tx, result, new Date());
      expect(await queueLinks(tx, result, new Date())).toBe(0);
      locked.resolve(undefined);
      await go.promise;
    });
    await locked.promise;
    const said = store.say({ order: '1', items: [{ item: 'a' }] });
    await eventually(async () => expect(await waitingForLocks()).toBe(1), { withinMs: 5_000 });
    go.resolve(undefined);
    await Promise.all([saved, said]);
    const [first] = await store.published();
    expect(first!.order.items[0]!.recipe.state).toBe('linked');
  });

  it('when recipes that are there change while orders take them, each in its own order', async () => {
    const names = Array.from({ length: 60 }, (_, n) => `r${String(n).padStart(2, '0')}`);
    await store.save(...names.map((id) => recipe(id)));
    for (let round = 0; round < 15; round += 1) {
      const items = names.map((id) => ({ item: id, recipe: id, quantity: round + 1 }));
      const changed = names.map((id) => recipe(id, { round }));
      await Promise.all([
        store.takeOrders(store.ordersBatch(0, [{ order: 'x', items }])),
        store.takeOrders(store.ordersBatch(1, [{ order: 'y', items: items.toReversed() }])),
        store.takeRecipes(store.recipesBatch(0, changed)),
        store.takeRecipes(store.recipesBatch(1, changed.toReversed())),
        store.linkAll(),
      ]);
    }
    await store.linkAll();
    const newest = new Map((await store.published()).map(({ order }) => [order.orderNumber, order]));
    for (const { items } of newest.values()) {
      expect(new Set(items.map(({ recipe: { version } }) => version))).toEqual(new Set([16]));
    }
  }, 60_000);

  it('when associations and recipes of the same ids come at the same time', async () => {
    const rounds = 12;
    for (let round = 0; round < rounds; round += 1) {
      const names = Array.from({ length: 20 }, (_, n) => `r${String(round)}-${String(n)}`);
      const orders = (partition: number, reverse: boolean): Promise<void> =>
        store.takeOrders(
          store.ordersBatch(
            partition,
            names.map((name, n) => ({
              order: `${name}-${String(partition)}`,
              items: (reverse ? names.slice(n).reverse() : names.slice(n)).map((recipeId) => ({
                item: recipeId,
                recipe: recipeId,
              })),
            })),
          ),
        );
      const recipes = (partition: number, part: readonly string[]): Promise<void> =>
        store.takeRecipes(
          store.recipesBatch(
            partition,
            part.map((id) => recipe(id)),
          ),
        );
      await Promise.all([
        orders(0, false),
        recipes(0, names.slice(0, 10).reverse()),
        orders(1, true),
        recipes(1, names.slice(10)),
        orders(2, true),
        store.linkAll(7),
        store.linkAll(7),
      ]);
    }
    await store.linkAll(50);
    expect(await store.count('order_items WHERE recipe_version IS NULL')).toBe(0);
    expect(await sweepLinks(store.dataSource, 0)).toMatchObject({
      missedLinks: 0,
      waitingItems: 0,
      linksDue: 0,
    });

    const versions = new Map<string, number>();
    for (const { order } of await store.published()) {
      expect(order.version).toBe((versions.get(order.orderUid) ?? 0) + 1);
      versions.set(order.orderUid, order.version);
    }
    expect(versions.size).toBe(rounds * 60);
  }, 120_000);
});

describe('reading orders', () => {
  it('finds them by number, id, recipe, status, or any of the three', async () => {
    await store.say(
      { order: '1', items: [{ item: 'a', recipe: 'R1', id: 'A' }] },
      { order: '2', items: [{ item: 'a', recipe: 'R2', id: 'B' }] },
      { order: '2', cancel: true },
      { order: '3', items: [{ item: 'a', recipe: 'R1' }] },
    );
    expect(await all({ orderNumber: '1' })).toEqual(['1 v1']);
    expect(await all({ orderId: 'B' })).toEqual(['2 v2']);
    expect(await all({ recipeId: 'R1' })).toEqual(['3 v1', '1 v1']);
    expect(await all({ status: 'cancelled' })).toEqual(['2 v2']);
    expect(await all({ search: 'R2' })).toEqual(['2 v2']);
    expect(await all({ search: 'A' })).toEqual(['1 v1']);
    expect(await all({ search: '3' })).toEqual(['3 v1']);
    expect(await all({ search: 'nothing' })).toEqual([]);
    expect(await all({ updatedSince: new Date(Date.now() + 60_000).toISOString() })).toEqual([]);
    expect(await all({ updatedSince: new Date(Date.now() - 60_000).toISOString() })).toHaveLength(3);
    expect((await listOrders(store.dataSource, { ...READER, tenant: 'other' }, { limit: 9 })).items).toEqual(
      [],
    );
  });

  it('walks through all of them once, while they change and new ones come', async () => {
    for (let n = 0; n < 7; n += 1) await store.say({ order: String(n), items: [{ item: 'a' }] });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listOrders(store.dataSource, READER, {
        limit: 2,
        ...(cursor !== undefined && { cursor }),
      });
      seen.push(...page.items.map(({ orderNumber }) => orderNumber));
      cursor = page.nextCursor ?? undefined;
      await store.say(
        { order: String(seen.length), items: [{ item: `x${String(seen.length)}` }] },
        { order: `new${String(seen.length)}`, items: [{ item: 'a' }] },
      );
    } while (cursor !== undefined);
    expect(seen).toEqual(['6', '5', '4', '3', '2', '1', '0']);
  });

  it('refuses a cursor that was made with other filters', async () => {
    for (let n = 0; n < 3; n += 1) await store.say({ order: String(n), items: [{ item: 'a' }] });
    const { nextCursor } = await listOrders(store.dataSource, READER, { limit: 1 });
    await expect(
      listOrders(store.dataSource, READER, { limit: 1, status: 'open', cursor: nextCursor! }),
    ).rejects.toMatchObject({ status: 400 });
    await expect(
      listOrders(store.dataSource, { ...READER, tenant: 'other' }, { limit: 1, cursor: nextCursor! }),
    ).rejects.toMatchObject({ status: 400 });
  });
});

describe('history', () => {
  it('goes when nothing has changed for long enough: orders, kept cancels, recipes that nobody uses', async () => {
    await store.save(recipe('R1'), recipe('R2'), recipe('R3'));
    await store.say(
      { order: 'old', items: [{ item: 'a', recipe: 'R1' }] },
      { order: 'never-came', cancel: true },
      { order: 'young', items: [{ item: 'a', recipe: 'R2' }] },
    );
    await query(
      store.dataSource,
      `UPDATE ${SCHEMA}.orders SET updated_at = now() - interval '500 days' WHERE order_number <> 'young'`,
    );
    await query(store.dataSource, `UPDATE ${SCHEMA}.recipes SET updated_at = now() - interval '500 days'`);
    const purged = await purgeHistory(store.dataSource, new Date(Date.now() - 400 * 86_400_000));
    expect(purged).toEqual({ orders: 2, recipes: 2 });
    expect(await all()).toEqual(['young v1']);
    expect(await store.count('recipes')).toBe(1);
    expect(await store.count('recipe_versions')).toBe(1);
    expect(await store.count('order_versions')).toBe(1);
  });

  it('that is ordered again after it went has its row again with the second try', async () => {
    await store.say({ order: '1', items: [{ item: 'a' }] });
    await query(store.dataSource, `DELETE FROM ${SCHEMA}.orders`);
    await purgeHistory(store.dataSource, new Date(Date.now() + 60_000));
    expect(await store.count('recipes')).toBe(0);
    const batch = store.ordersBatch(0, [{ order: '2', items: [{ item: 'a' }] }]);
    await expect(store.takeOrders(batch)).rejects.toMatchObject({ fault: 'transient' });
    await store.takeOrders(batch);
    await store.save(recipe('R1'));
    await store.linkAll();
    expect((await store.published()).map(summary).at(-1)).toBe('order.updated 2 v2 recipe-linked open');
  });
});
