import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import {
  ASSOCIATION_RECEIVED,
  RECIPE_RECEIVED,
  TOPIC,
  orderKey,
  recipeKey,
  topicCatalogue,
} from '@heddle/contracts';
import { KafkaPublisher, createTopics, readTopic } from '@heddle/messaging';
import type { KafkaOptions, OutgoingEvent } from '@heddle/messaging';
import {
  connectDataSource,
  createDataSource,
  enqueue,
  execute,
  inTransaction,
  query,
} from '@heddle/persistence';
import type { DataSource, OutboxRow, Tx } from '@heddle/persistence';
import { createLogger, newId } from '@heddle/platform';
import {
  Child,
  createDatabase,
  eventually,
  spawnService,
  startKafka,
  startPostgres,
  temporaryFolder,
  workspaceRoot,
} from '@heddle/testing';
import { Registry } from 'prom-client';

import type { BenchRow } from './bench-row.js';

const SCHEMA = 'association_store';
/** Associations of one measurement: each is an order of its own, the most that one can cost. */
const ORDERS = 20_000;
const WARM_UP_ORDERS = 5_000;
const RECIPES = 1_000;
/** As the store: rows a transaction, partitions side by side. */
const CHUNK = 500;
const CONCURRENCY = 4;
const ROUNDS = 3;
const AIM = 0.33;

const logger = createLogger({ service: 'bench', level: 'warn' });

/**
 * Associations a second from the topic to committed and published, against the bulk insert of the same rows into
 * the same tables with their indexes. Both take turns, so that a busy moment of the machine hits both.
 */
export async function storeBench(): Promise<readonly BenchRow[]> {
  const [cluster, postgres] = await Promise.all([
    startKafka({ forBenchmarks: true }),
    startPostgres({ durable: true }),
  ]);
  try {
    const kafka = { brokers: cluster.brokers.split(','), clientId: 'bench', topicPrefix: '' };
    const database = await createDatabase(postgres.url);
    return await measure(kafka, database.url);
  } finally {
    await Promise.all([cluster.close(), postgres.close()]);
  }
}

async function measure(kafka: KafkaOptions, databaseUrl: string): Promise<readonly BenchRow[]> {
  const dist = join(workspaceRoot(), 'dist', 'apps', 'association-store');
  await migrate(join(dist, 'migrate.js'), databaseUrl);
  await createTopics(topicCatalogue, { kafka, logger });
  const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
  await publisher.connect();
  const dataSource = createDataSource({
    url: databaseUrl,
    poolSize: CONCURRENCY + 1,
    applicationName: 'bench',
    schema: SCHEMA,
    migrations: [],
  });
  await connectDataSource(dataSource, { logger });
  const store = await spawnService({
    name: 'association-store',
    entry: join(dist, 'main.js'),
    env: {
      KAFKA_BROKERS: kafka.brokers.join(','),
      DATABASE_URL: databaseUrl,
      SERVICE_TOKEN_KEYS: `bench:${Buffer.alloc(32, 1).toString('base64')}`,
      PUBLIC_URL: 'http://127.0.0.1:8080',
      LOG_LEVEL: 'warn',
    },
  });
  try {
    await publish(
      publisher,
      Array.from({ length: RECIPES }, (_, n) => recipeEvent(n)),
    );
    await settled(dataSource, TOPIC.recipeReceived, RECIPES);
    await publish(
      publisher,
      Array.from({ length: WARM_UP_ORDERS }, (_, n) => orderEvent(`w-${String(n)}`, n)),
    );
    await settled(dataSource, TOPIC.orderReceived, WARM_UP_ORDERS);

    const rounds: { readonly ours: number; readonly raw: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const prefix = `${String(round)}-`;
      const ours = await storeRate(dataSource, publisher, store, prefix);
      const rows = await rowsOf(dataSource, kafka, prefix);
      await execute(dataSource, `DELETE FROM ${SCHEMA}.orders WHERE order_number LIKE $1`, [`${prefix}%`]);
      await execute(dataSource, `VACUUM ${SCHEMA}.orders, ${SCHEMA}.order_items, ${SCHEMA}.order_versions`);
      // Stopped: its relay would publish what the bulk insert puts into the outbox.
      await store.stop();
      const raw = await rawRate(dataSource, rows);
      await execute(dataSource, `TRUNCATE ${SCHEMA}.outbox`);
      await store.start();
      rounds.push({ ours, raw });
    }
    const ratio = median(rounds.map(({ ours, raw }) => ours / raw));
    const [ours, raw] = [median(rounds.map((round) => round.ours)), median(rounds.map((round) => round.raw))];
    return [
      {
        figure: 'store: associations/s from topic to committed and published, against raw bulk insert',
        value: `${ratio.toFixed(2)} (${ours.toFixed(0)} against ${raw.toFixed(0)} associations/s)`,
        aim: `>= ${String(AIM)}`,
        holds: ratio >= AIM,
      },
    ];
  } finally {
    await store.stop();
    await dataSource.destroy();
    await publisher.close();
  }
}

interface Stoppable {
  stop(): Promise<unknown>;
  start(): Promise<unknown>;
}

/**
 * The backlog is in the topic before the store starts; the clock runs from its first commit that is seen to the
 * last acknowledgement, which empties the outbox.
 */
async function storeRate(
  dataSource: DataSource,
  publisher: KafkaPublisher,
  store: Stoppable,
  prefix: string,
): Promise<number> {
  await store.stop();
  const before = await consumed(dataSource, TOPIC.orderReceived);
  await publish(
    publisher,
    Array.from({ length: ORDERS }, (_, n) => orderEvent(`${prefix}${String(n)}`, n)),
  );
  const started = store.start();
  let first = before;
  while (first === before) {
    await delay(2);
    first = await consumed(dataSource, TOPIC.orderReceived);
  }
  const startedAt = performance.now();
  await started;
  await settled(dataSource, TOPIC.orderReceived, before + ORDERS);
  return ((before + ORDERS - first) / (performance.now() - startedAt)) * 1_000;
}

async function consumed(dataSource: DataSource, topic: string): Promise<number> {
  const [row] = await query<{ offset: string | null }>(
    dataSource,
    `SELECT sum(next_offset) AS offset FROM ${SCHEMA}.consumed_positions WHERE topic = $1`,
    [topic],
  );
  return Number(row?.offset ?? 0);
}

/** All consumed, and the outbox empty. */
async function settled(dataSource: DataSource, topic: string, offset: number): Promise<void> {
  await eventually(
    async () => {
      const at = await consumed(dataSource, topic);
      const [row] = await query<{ queued: boolean }>(
        dataSource,
        `SELECT EXISTS (SELECT FROM ${SCHEMA}.outbox) AS queued`,
      );
      if (at < offset || row?.queued !== false) {
        throw new Error(`the store is at ${String(at)} of ${String(offset)} of ${topic}`);
      }
    },
    // Seldom: each look costs what it measures.
    { withinMs: 120_000, everyMs: 25 },
  );
}

/** One chunk of the rows that the store has written, each table's as one JSON text. */
interface RawChunk {
  readonly orders: string;
  readonly items: string;
  readonly versions: string;
  readonly events: readonly OutboxRow[];
}

async function rowsOf(dataSource: DataSource, kafka: KafkaOptions, prefix: string): Promise<RawChunk[]> {
  const table = async (name: string): Promise<string[]> => {
    const rows = await query<{ row: string }>(
      dataSource,
      `SELECT row_to_json(t)::text AS row FROM ${SCHEMA}.${name} t JOIN ${SCHEMA}.orders o USING (order_uid)
       WHERE o.order_number LIKE $1 ORDER BY order_uid`,
      [`${prefix}%`],
    );
    return inChunks(rows.map(({ row }) => row)).map((chunk) => `[${chunk.join(',')}]`);
  };
  const messages = await readTopic(TOPIC.orderSubmitted, { kafka, logger });
  const events = messages
    .filter(({ key }) => key?.startsWith(`demo:${prefix}`))
    .map(({ topic, key = '', headers, value }): OutboxRow => ({
      topic,
      key,
      id: headers['ce_id'] ?? '',
      type: headers['ce_type'] ?? '',
      time: headers['ce_time'] ?? '',
      subject: headers['ce_subject'],
      tenant: 'demo',
      traceparent: headers['traceparent'],
      data: Buffer.from(value).toString(),
    }));
  if (events.length !== ORDERS) throw new Error(`${String(events.length)} of ${String(ORDERS)} published`);
  const [orders, items, versions] = [
    await table('orders'),
    await table('order_items'),
    await table('order_versions'),
  ];
  return inChunks(events).map((chunk, index) => ({
    orders: orders[index] ?? '[]',
    items: items[index] ?? '[]',
    versions: versions[index] ?? '[]',
    events: chunk,
  }));
}

async function rawRate(dataSource: DataSource, chunks: readonly RawChunk[]): Promise<number> {
  const insert = async (tx: Tx, table: string, rows: string): Promise<void> => {
    await tx.execute(
      `INSERT INTO ${SCHEMA}.${table} SELECT * FROM json_populate_recordset(NULL::${SCHEMA}.${table}, $1)`,
      [rows],
    );
  };
  const startedAt = performance.now();
  const queue = [...chunks];
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let chunk = queue.pop(); chunk !== undefined; chunk = queue.pop()) {
        const { orders, items, versions, events } = chunk;
        await inTransaction(dataSource, async (tx) => {
          await insert(tx, 'orders', orders);
          await insert(tx, 'order_items', items);
          await insert(tx, 'order_versions', versions);
          enqueue(tx, SCHEMA, events);
        });
      }
    }),
  );
  return (ORDERS / (performance.now() - startedAt)) * 1_000;
}

async function publish(publisher: KafkaPublisher, events: readonly OutgoingEvent[]): Promise<void> {
  for (const chunk of inChunks(events)) await publisher.publishAll(chunk, { deadlineMs: 30_000 });
}

const ACCEPTED_AT = '2026-01-01T00:00:00.000Z';
const common = { tenant: 'demo', channel: 'default', acceptedAt: ACCEPTED_AT, requestId: 'bench' };

function orderEvent(orderNumber: string, n: number): OutgoingEvent {
  return event(TOPIC.orderReceived, ASSOCIATION_RECEIVED, orderKey('demo', orderNumber), {
    ...common,
    orderNumber,
    associations: [{ itemId: 'item', recipeId: recipeId(n % RECIPES), itemQuantity: 1 }],
  });
}

/** One view with two files, as in the pipeline's figures. */
function recipeEvent(n: number): OutgoingEvent {
  const id = recipeId(n);
  const views = [
    {
      code: 'Front',
      productionReady: true,
      production: `//files.example/production/${id}-Front.pdf`,
      previewPng: `//files.example/preview/${id}-Front.png`,
    },
  ];
  return event(TOPIC.recipeReceived, RECIPE_RECEIVED, recipeKey('demo', id), {
    ...common,
    recipeId: id,
    temporary: false,
    document: JSON.stringify({ id, name: 'Team Cap', styleCode: 'CAP-01', views }),
  });
}

function recipeId(n: number): string {
  return `2-bench${String(n).padStart(6, '0')}`;
}

function event(topic: string, type: string, key: string, data: object): OutgoingEvent {
  return {
    topic,
    type,
    key,
    id: newId(),
    source: '/bench',
    time: ACCEPTED_AT,
    tenant: 'demo',
    data: JSON.stringify(data),
  };
}

async function migrate(entry: string, databaseUrl: string): Promise<void> {
  const child = await Child.spawn({
    name: 'migrations of association-store',
    command: process.execPath,
    args: [entry],
    env: { ...process.env, DATABASE_URL: databaseUrl },
    logFile: join(await temporaryFolder('bench'), 'migrate.log'),
  });
  const { code } = await child.exited;
  if (code !== 0) throw new Error(`migrating association-store: exit code ${String(code)}`);
}

function inChunks<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, n) =>
    all.slice(n * CHUNK, (n + 1) * CHUNK),
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
