import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Health, createMetrics } from '@heddle/platform';
import { eventually, startPostgres } from '@heddle/testing';
import type { LocalPostgres } from '@heddle/testing';
import type { DataSource } from 'typeorm';

import {
  OutboxRelay,
  connectDataSource,
  enqueue,
  execute,
  faultOf,
  inTransaction,
  query,
  runMigrations,
} from '../src/index.js';

import { RecordedPublisher } from './recorded-publisher.js';
import { SCHEMA, aDataSource, quiet } from './support.js';

const KEYS = 20;

let postgres: LocalPostgres;
let dataSource: DataSource;
let publisher: RecordedPublisher;
let relay: OutboxRelay;

beforeAll(async () => {
  postgres = await startPostgres({ durable: true });
  await runMigrations(aDataSource(postgres.url));
}, 60_000);
afterAll(() => postgres.close());

beforeEach(async () => {
  dataSource = aDataSource(postgres.url);
  await connectDataSource(dataSource, { logger: quiet });
  await execute(
    dataSource,
    'CREATE TABLE IF NOT EXISTS loom.counters (key text PRIMARY KEY, version integer NOT NULL)',
  );
  await execute(dataSource, 'TRUNCATE loom.outbox, loom.counters');
  publisher = new RecordedPublisher();
  relay = new OutboxRelay({
    dataSource,
    schema: SCHEMA,
    source: '/loom',
    publisher,
    logger: quiet,
    metrics: createMetrics('loom'),
    health: new Health(),
  });
  relay.start();
});
afterEach(async () => {
  await relay.stop();
  await dataSource.destroy();
});

/** Raises keys and enqueues their versions until told to stop; what rejects has to be a fault that passes. */
function startWriting(): { stop(): Promise<{ committed: number; faults: unknown[] }> } {
  let writing = true;
  let committed = 0;
  const faults: unknown[] = [];
  const writers = Array.from({ length: 3 }, async () => {
    while (writing) {
      const key = `key-${String(Math.floor(Math.random() * KEYS))}`;
      try {
        await inTransaction(dataSource, async (tx) => {
          const [raised] = await tx.query<{ version: number }>(
            `INSERT INTO loom.counters AS c VALUES ($1, 1)
             ON CONFLICT (key) DO UPDATE SET version = c.version + 1 RETURNING version`,
            [key],
          );
          const id = String(raised?.version);
          const time = new Date().toISOString();
          enqueue(tx, SCHEMA, [{ topic: 't', key, id, type: 'x', time, tenant: 'demo', data: '{}' }]);
        });
        committed += 1;
        relay.nudge();
      } catch (error) {
        faults.push(error);
        await delay(20);
      }
    }
  });
  return {
    stop: async () => {
      writing = false;
      await Promise.all(writers);
      return { committed, faults };
    },
  };
}

/** Every committed version was published, none before the ones below it. */
async function expectWholeLedger(): Promise<void> {
  await eventually(
    async () => expect(await query(dataSource, 'SELECT 1 FROM loom.outbox LIMIT 1')).toEqual([]),
    {
      withinMs: 20_000,
    },
  );
  const counters = await query<{ key: string; version: number }>(
    dataSource,
    'SELECT key, version FROM loom.counters',
  );
  expect(counters).toHaveLength(KEYS);
  for (const { key, version } of counters) {
    const grown: number[] = [];
    for (const id of publisher.idsOf(key).map(Number)) if (id > (grown.at(-1) ?? 0)) grown.push(id);
    expect({ key, grown }).toEqual({ key, grown: Array.from({ length: version }, (_, n) => n + 1) });
  }
}

describe('while PostgreSQL is away', () => {
  it('loses nothing and goes on by itself after each of three SIGKILLs', async () => {
    const writing = startWriting();
    for (let kill = 0; kill < 3; kill += 1) {
      await delay(700);
      await postgres.kill();
      await delay(500);
      await postgres.start();
      const before = publisher.log.length;
      await eventually(() => expect(publisher.log.length).toBeGreaterThan(before + KEYS), {
        withinMs: 10_000,
      });
    }
    const { committed, faults } = await writing.stop();
    expect(committed).toBeGreaterThan(100);
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.filter((fault) => faultOf(fault) !== 'transient')).toEqual([]);
    await expectWholeLedger();
  }, 90_000);

  it('loses nothing and goes on by itself after PostgreSQL hung', async () => {
    const writing = startWriting();
    await delay(700);
    postgres.pause();
    await delay(8_000);
    postgres.resume();
    const before = publisher.log.length;
    await eventually(() => expect(publisher.log.length).toBeGreaterThan(before + KEYS), { withinMs: 10_000 });
    const { faults } = await writing.stop();
    expect(faults.filter((fault) => faultOf(fault) !== 'transient')).toEqual([]);
    await expectWholeLedger();
  }, 60_000);

  it('gives up waiting for a statement, and does not use that connection again', async () => {
    postgres.pause();
    try {
      const error: unknown = await query(dataSource, 'SELECT 1').catch((caught: unknown) => caught);
      expect(faultOf(error)).toBe('transient');
    } finally {
      postgres.resume();
    }
    await eventually(async () => expect(await query(dataSource, 'SELECT 2 AS two')).toEqual([{ two: 2 }]), {
      withinMs: 5_000,
    });
  }, 60_000);

  it('waits for it at the start', async () => {
    await postgres.stop();
    const late = aDataSource(postgres.url);
    const connected = connectDataSource(late, { logger: quiet });
    await delay(1_000);
    expect(late.isInitialized).toBe(false);
    await postgres.start();
    await connected;
    expect(await query(late, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await late.destroy();
  }, 60_000);

  it('stops waiting at the start when it is told to', async () => {
    await postgres.stop();
    try {
      const signal = AbortSignal.timeout(300);
      await expect(connectDataSource(aDataSource(postgres.url), { logger: quiet, signal })).rejects.toThrow();
    } finally {
      await postgres.start();
    }
  }, 60_000);
});
