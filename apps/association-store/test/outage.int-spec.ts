import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TOPIC } from '@heddle/contracts';
import { runMigrations } from '@heddle/persistence';
import { createDatabase, eventually, startPostgres } from '@heddle/testing';
import type { LocalPostgres } from '@heddle/testing';

import { storeDataSource } from '../src/schema/data-source.js';

import { RunningStore } from './running-store.js';

let postgres: LocalPostgres;
let store: RunningStore;

beforeAll(async () => {
  postgres = await startPostgres({ durable: true });
  const { url } = await createDatabase(postgres.url);
  store = await RunningStore.start(url);
  await runMigrations(storeDataSource(store.config));
  await eventually(() => expect(store.failing).toEqual({}), { withinMs: 20_000 });
}, 90_000);

afterAll(async () => {
  await store.stop();
  await postgres.close();
}, 30_000);

describe('a database that is killed', () => {
  it('is waited for: nothing is lost, nothing twice, nothing in the dead letters', async () => {
    const numbers = Array.from({ length: 60 }, (_, n) => String(n));
    await Promise.all(numbers.slice(0, 20).map((number) => store.associate(number, [['a', 'R1', 1]])));
    await postgres.kill();
    await Promise.all(numbers.slice(20, 40).map((number) => store.associate(number, [['a', 'R1', 1]])));
    await store.save('R1', '{"id":"R1"}');
    const read = await store.get('/api/v2/orders');
    expect([read.status, read.headers.get('retry-after')]).toEqual([503, '5']);
    await postgres.start();
    await Promise.all(numbers.slice(40).map((number) => store.associate(number, [['a', 'R1', 1]])));

    await eventually(
      async () => {
        const submitted = await store.ordersOn(TOPIC.orderSubmitted);
        expect(new Set(submitted.map(({ orderNumber }) => orderNumber)).size).toBe(60);
        const page = await store.get('/api/v2/orders?limit=200');
        const { items } = (await page.json()) as { items: { items: { recipe: { state: string } }[] }[] };
        expect(items).toHaveLength(60);
        const states = items.flatMap((order) => order.items.map(({ recipe }) => recipe.state));
        expect(new Set(states)).toEqual(new Set(['linked']));
      },
      { withinMs: 60_000 },
    );
    expect(await store.messages(`${TOPIC.orderReceived}.dead-letter`)).toEqual([]);
    expect(await store.messages(`${TOPIC.recipeReceived}.dead-letter`)).toEqual([]);
    expect(store.failing).toEqual({});
  }, 120_000);
});
