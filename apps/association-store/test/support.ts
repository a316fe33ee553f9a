import {
  ASSOCIATION_RECEIVED,
  CANCELLATION_RECEIVED,
  OrderChangedV1,
  RECIPE_RECEIVED,
  RecipeSavedV1,
  TOPIC,
  orderKey,
} from '@heddle/contracts';
import type { AssociationReceivedV1, CancellationReceivedV1, RecipeReceivedV1 } from '@heddle/contracts';
import type { EventBatch, ReceivedEvent } from '@heddle/messaging';
import { connectDataSource, query, runMigrations } from '@heddle/persistence';
import type { DataSource, OutboxRelay } from '@heddle/persistence';
import { createLogger, createMetrics, newId, newTraceparent } from '@heddle/platform';
import { createDatabase } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';

import type { Hub } from '../src/hub.js';
import { linkStep } from '../src/links/link.repository.js';
import type { Linker } from '../src/links/linker.js';
import { StoreMetrics } from '../src/operations/store-metrics.js';
import { OrderConsumer } from '../src/orders/order.consumer.js';
import { RecipeConsumer } from '../src/recipes/recipe.consumer.js';
import { storeDataSource } from '../src/schema/data-source.js';
import { SCHEMA } from '../src/schema/migrations.js';

export const PUBLIC: Hub = { url: new URL('https://hub.example'), hosts: new Set(['hub.example']) };
export const ACCEPTED_AT = '2026-01-02T03:04:05.678Z';

export const quiet = createLogger({
  service: 'association-store',
  level: 'error',
  destination: { write: () => undefined },
});

export interface Association {
  readonly item: string;
  readonly recipe?: string;
  readonly quantity?: number;
  readonly id?: string;
}

export type Said = { readonly order: string; readonly channel?: string; readonly acceptedAt?: string } & (
  { readonly items: readonly Association[] } | { readonly cancel: true; readonly id?: string }
);

export interface PublishedOrder {
  readonly topic: string;
  readonly key: string;
  readonly order: OrderChangedV1;
}

/** The store's consumers on a database of their own, without Kafka: chunks are handed in. */
export class StoreUnderTest {
  static async start(): Promise<StoreUnderTest> {
    const { TEST_DATABASE_URL } = process.env;
    if (TEST_DATABASE_URL === undefined) throw new TypeError('TEST_DATABASE_URL is missing');
    const database = await createDatabase(TEST_DATABASE_URL);
    const dataSource = storeDataSource({ DATABASE_URL: database.url, DATABASE_POOL_SIZE: 20 });
    await runMigrations(dataSource);
    await connectDataSource(dataSource, { logger: quiet });
    return new StoreUnderTest(database, dataSource);
  }

  private readonly offsets = new Map<string, number>();
  private orders: OrderConsumer;
  private readonly recipes: RecipeConsumer;

  private constructor(
    private readonly database: TestDatabase,
    readonly dataSource: DataSource,
  ) {
    this.orders = this.freshConsumer();
    const nothing = { nudge: () => undefined };
    const metrics = new StoreMetrics(createMetrics('association-store'));
    this.recipes = new RecipeConsumer(
      dataSource,
      nothing as OutboxRelay,
      nothing as unknown as Linker,
      metrics,
      PUBLIC,
    );
  }

  async close(): Promise<void> {
    await this.dataSource.destroy();
    await this.database.drop();
  }

  async clear(): Promise<void> {
    await query(
      this.dataSource,
      `TRUNCATE ${SCHEMA}.orders, ${SCHEMA}.recipes, ${SCHEMA}.outbox, ${SCHEMA}.links_due,
                ${SCHEMA}.consumed_positions CASCADE`,
    );
    this.offsets.clear();
    this.orders = this.freshConsumer();
  }

  private freshConsumer(): OrderConsumer {
    const nothing = { nudge: () => undefined };
    const metrics = new StoreMetrics(createMetrics('association-store'));
    return new OrderConsumer(this.dataSource, nothing as OutboxRelay, metrics, quiet);
  }

  ordersBatch(
    partition: number,
    said: readonly Said[],
  ): EventBatch<AssociationReceivedV1 | CancellationReceivedV1> {
    return this.batch<AssociationReceivedV1 | CancellationReceivedV1, Said>(
      TOPIC.orderReceived,
      partition,
      said,
      (entry) => {
        const { order: orderNumber, channel = 'default', acceptedAt = ACCEPTED_AT } = entry;
        const common = { tenant: 'demo', channel, orderNumber, acceptedAt, requestId: 'request' };
        return 'items' in entry
          ? {
              type: ASSOCIATION_RECEIVED,
              data: {
                ...common,
                associations: entry.items.map(({ item, recipe = 'R1', quantity = 1, id }) => ({
                  itemId: item,
                  recipeId: recipe,
                  itemQuantity: quantity,
                  ...(id !== undefined && { orderId: id }),
                })),
              },
            }
          : {
              type: CANCELLATION_RECEIVED,
              data: { ...common, ...(entry.id !== undefined && { orderId: entry.id }) },
            };
      },
    );
  }

  recipesBatch(partition: number, documents: readonly object[]): EventBatch<RecipeReceivedV1> {
    return this.batch(TOPIC.recipeReceived, partition, documents, (document) => ({
      type: RECIPE_RECEIVED,
      data: {
        tenant: 'demo',
        channel: 'default',
        recipeId: (document as { id: string }).id,
        document: JSON.stringify(document, null, 1),
        temporary: (document as { temporary?: boolean }).temporary === true,
        acceptedAt: ACCEPTED_AT,
        requestId: 'request',
      },
    }));
  }

  async takeOrders(batch: EventBatch<AssociationReceivedV1 | CancellationReceivedV1>): Promise<void> {
    await this.orders.received(batch);
  }

  async takeRecipes(batch: EventBatch<RecipeReceivedV1>): Promise<void> {
    await this.recipes.received(batch);
  }

  /** One chunk. */
  async say(...said: Said[]): Promise<void> {
    await this.takeOrders(this.ordersBatch(0, said));
  }

  async save(...documents: object[]): Promise<void> {
    await this.takeRecipes(this.recipesBatch(0, documents));
  }

  async linkAll(maxOrders?: number): Promise<number> {
    for (let steps = 1; ; steps += 1) {
      if (!(await linkStep(this.dataSource, maxOrders)).more) return steps;
    }
  }

  /** Order events in the order of the outbox; each has kept its contract. */
  async published(): Promise<PublishedOrder[]> {
    const rows = await query<{ topic: string; key: string; data: string }>(
      this.dataSource,
      `SELECT topic, key, data FROM ${SCHEMA}.outbox WHERE topic LIKE 'order.%' ORDER BY id`,
    );
    return rows.map(({ topic, key, data }) => ({
      topic,
      key,
      order: OrderChangedV1.strict().parse(JSON.parse(data)),
    }));
  }

  async publishedRecipes(): Promise<{ topic: string; recipe: RecipeSavedV1 }[]> {
    const rows = await query<{ topic: string; data: string }>(
      this.dataSource,
      `SELECT topic, data FROM ${SCHEMA}.outbox WHERE topic LIKE 'recipe.%' ORDER BY id`,
    );
    return rows.map(({ topic, data }) => ({ topic, recipe: RecipeSavedV1.strict().parse(JSON.parse(data)) }));
  }

  async count(from: string): Promise<number> {
    const [row] = await query<{ count: string }>(this.dataSource, `SELECT count(*) FROM ${SCHEMA}.${from}`);
    return Number(row?.count);
  }

  private batch<T, S>(
    topic: string,
    partition: number,
    entries: readonly S[],
    toEvent: (entry: S) => { type: string; data: T },
  ): EventBatch<T> {
    const place = `${topic}/${String(partition)}`;
    const first = this.offsets.get(place) ?? 0;
    this.offsets.set(place, first + entries.length);
    const events = entries.map((entry, index): ReceivedEvent<T> => {
      const { type, data } = toEvent(entry);
      return {
        topic,
        partition,
        offset: String(first + index),
        key: orderKey('demo', 'any'),
        id: newId(),
        type,
        source: '/test',
        time: ACCEPTED_AT,
        tenant: 'demo',
        traceparent: newTraceparent(),
        data,
        headers: {},
      };
    });
    return {
      topic,
      chunks: [
        {
          topic,
          partition,
          firstOffset: String(first),
          nextOffset: String(first + entries.length),
          cluster: 'test',
        },
      ],
      events,
    };
  }
}

export function summary({ topic, order }: PublishedOrder): string {
  return `${topic} ${order.orderNumber} v${String(order.version)} ${order.reason} ${order.status}`;
}
