import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { OrdersQuery } from '@heddle/contracts';
import { execute } from '@heddle/persistence';
import { createLogger, createMetrics } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

import { StoreMetrics } from '../src/operations/store-metrics.js';
import { listOrders } from '../src/orders/order.queries.js';
import { SCHEMA } from '../src/schema/migrations.js';
import { OverdueWatch } from '../src/waiting/overdue-watch.js';

import { StoreUnderTest } from './support.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const READER = { tenant: 'demo', channel: undefined };

let store: StoreUnderTest;
beforeAll(async () => {
  store = await StoreUnderTest.start();
}, 60_000);
afterAll(async () => store.close());
beforeEach(async () => {
  await store.clear();
  await execute(store.dataSource, `TRUNCATE ${SCHEMA}.job_turns`);
});

interface Line {
  readonly msg: string;
  readonly items: number;
  readonly not_named: number;
  readonly all_at: string;
  readonly oldest_seconds: number;
  readonly longest: readonly { readonly item_id: string; readonly recipe_id: string }[];
}

/** One process of the store, as far as watching goes. */
class Watcher {
  readonly lines: Line[] = [];
  private readonly metrics: Metrics = createMetrics('association-store');
  private readonly watch: OverdueWatch;

  constructor() {
    const destination = { write: (line: string) => this.lines.push(JSON.parse(line) as Line) };
    const logger = createLogger({ service: 'association-store', level: 'info', destination });
    this.watch = new OverdueWatch(store.dataSource, new StoreMetrics(this.metrics), DAY_MS, logger);
  }

  look(): Promise<void> {
    return this.watch.look();
  }

  async gauge(name: string): Promise<number> {
    const { values } = (await this.metrics.getSingleMetric(name)!.get()) as { values: { value: number }[] };
    return values[0]!.value;
  }
}

/** Items that came so long ago. */
async function age(itemId: string, ms: number): Promise<void> {
  await execute(
    store.dataSource,
    `UPDATE ${SCHEMA}.order_items SET created_at = clock_timestamp() - make_interval(secs => $2) WHERE item_id = $1`,
    [itemId, ms / 1_000],
  );
}

async function waitingOrders(): Promise<void> {
  await store.save({ id: 'HERE' });
  await store.say(
    { order: '1', items: [{ item: 'late', recipe: 'LOST' }] },
    { order: '2', items: [{ item: 'later', recipe: 'LOST' }] },
    { order: '3', items: [{ item: 'young', recipe: 'LOST' }] },
    { order: '4', items: [{ item: 'linked', recipe: 'HERE' }] },
    { order: '5', items: [{ item: 'cancelled', recipe: 'LOST' }] },
    { order: '5', cancel: true },
    { order: '6', items: [{ item: 'none', recipe: 'LOST' }] },
    { order: '6', items: [{ item: 'none', recipe: 'LOST', quantity: 0 }] },
  );
  for (const item of ['linked', 'cancelled', 'none']) await age(item, 3 * DAY_MS);
  await age('late', 2 * DAY_MS);
  await age('later', DAY_MS + HOUR_MS);
  await age('young', DAY_MS - HOUR_MS);
}

describe('items that wait for their recipe for more than a day', () => {
  it('are counted, with the age of the oldest', async () => {
    await waitingOrders();
    const watcher = new Watcher();
    await watcher.look();
    expect(await watcher.gauge('heddle_overdue_items')).toBe(2);
    const seconds = await watcher.gauge('heddle_overdue_items_oldest_age_seconds');
    expect(seconds).toBeGreaterThanOrEqual(2 * 86_400);
    expect(seconds).toBeLessThan(2 * 86_400 + 600);

    await store.save({ id: 'LOST' });
    await store.linkAll();
    await watcher.look();
    expect(await watcher.gauge('heddle_overdue_items')).toBe(0);
    expect(await watcher.gauge('heddle_overdue_items_oldest_age_seconds')).toBe(0);
  });

  it('are named in the log by one process, the longest first, and again after an hour', async () => {
    await waitingOrders();
    const watchers = [new Watcher(), new Watcher(), new Watcher()];
    const lines = (): Line[] => watchers.flatMap((watcher) => watcher.lines);
    await Promise.all(watchers.map((watcher) => watcher.look()));
    await Promise.all(watchers.map((watcher) => watcher.look()));
    expect(lines()).toMatchObject([
      {
        msg: 'items.overdue',
        items: 2,
        longest: [
          { tenant_id: 'demo', item_id: 'late', recipe_id: 'LOST', order_uid: expect.any(String) },
          { item_id: 'later' },
        ],
      },
    ]);
    await execute(store.dataSource, `UPDATE ${SCHEMA}.job_turns SET taken_at = taken_at - interval '1 hour'`);
    await Promise.all(watchers.map((watcher) => watcher.look()));
    expect(lines()).toHaveLength(2);
  });

  it('are all counted where they are too many to be named, with the address that lists them', async () => {
    const numbers = Array.from({ length: 23 }, (_, index) => String(index + 1));
    await store.say(...numbers.map((order) => ({ order, items: [{ item: 'late', recipe: 'LOST' }] })));
    await age('late', 2 * DAY_MS);
    const watcher = new Watcher();
    await watcher.look();
    const [line] = watcher.lines;
    expect([line?.items, line?.longest.length, line?.not_named]).toEqual([23, 20, 3]);
    const address = new URL(line?.all_at ?? '', 'https://hub.example');
    expect(address.pathname).toBe('/api/v2/orders');
    const asked = OrdersQuery.parse(Object.fromEntries(address.searchParams));
    const { items } = await listOrders(store.dataSource, READER, asked);
    expect(items.map(({ orderNumber }) => orderNumber).toReversed()).toEqual(numbers);
  });

  it('are not spoken of where there is none', async () => {
    await store.say({ order: '1', items: [{ item: 'young', recipe: 'LOST' }] });
    const watcher = new Watcher();
    await watcher.look();
    expect(watcher.lines).toEqual([]);
  });

  it('are found among the orders, which say since when', async () => {
    await waitingOrders();
    const list = async (filters: object): Promise<(readonly [string, boolean])[]> => {
      const { items } = await listOrders(store.dataSource, READER, { limit: 50, ...filters });
      return items.map(({ orderNumber, waitingSince }) => [orderNumber, waitingSince !== undefined]);
    };
    const yesterday = new Date(Date.now() - DAY_MS).toISOString();
    expect(await list({ waitingBefore: yesterday, status: 'open' })).toEqual([
      ['2', true],
      ['1', true],
    ]);
    expect(await list({ waitingForRecipe: false })).toEqual([
      ['6', false],
      ['4', false],
    ]);
    const { items } = await listOrders(store.dataSource, READER, { limit: 1, orderNumber: '1' });
    const waitedMs = Date.now() - Date.parse(items[0]!.waitingSince!);
    expect(Math.round(waitedMs / HOUR_MS)).toBe(48);
  });
});
