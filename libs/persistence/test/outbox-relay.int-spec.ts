import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Health, createMetrics } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';
import { eventually } from '@heddle/testing';

import {
  OutboxRelay,
  SHARDS,
  enqueue,
  execute,
  inTransaction,
  listRefused,
  query,
  requeueRefused,
} from '../src/index.js';
import type { OutboxRow } from '../src/index.js';

import { createClient } from '../src/lib/data-source.js';
import { RELAY_SESSION } from '../src/lib/outbox-relay.js';
import { OutboxTable } from '../src/lib/outbox-table.js';

import { ShardLocks } from '../src/lib/shard-locks.js';

import { RecordedPublisher, upTo } from './recorded-publisher.js';
import { SCHEMA, aDatabase, quiet } from './support.js';
import type { TestDatabase } from './support.js';

const SOURCE = '/loom';
const TOPIC = 'order.submitted';

let database: TestDatabase;
let publisher: RecordedPublisher;
let relays: RunningRelay[];

interface RunningRelay {
  readonly relay: OutboxRelay;
  readonly metrics: Metrics;
  readonly health: Health;
}

beforeAll(async () => {
  database = await aDatabase();
  await execute(
    database.dataSource,
    'CREATE TABLE loom.counters (key text PRIMARY KEY, version integer NOT NULL)',
  );
});
afterAll(() => database.close());

beforeEach(() => {
  publisher = new RecordedPublisher();
  relays = [];
});
afterEach(async () => {
  publisher.verdict = () => 'ok';
  await Promise.all(relays.map(({ relay }) => relay.stop()));
  await execute(database.dataSource, 'TRUNCATE loom.outbox, loom.outbox_refused, loom.counters');
});

function aRelay(through: RecordedPublisher = publisher, pollMs?: number): RunningRelay {
  const metrics = createMetrics('loom');
  const health = new Health();
  health.started();
  const relay = new OutboxRelay({
    dataSource: database.dataSource,
    schema: SCHEMA,
    source: SOURCE,
    publisher: through,
    logger: quiet,
    metrics,
    health,
    ...(pollMs !== undefined && { pollMs }),
  });
  const running = { relay, metrics, health };
  relays.push(running);
  relay.start();
  return running;
}

function anEvent(key: string, id: string, data = '{}'): OutboxRow {
  return {
    topic: TOPIC,
    key,
    id,
    type: 'heddle.order.submitted.v1',
    time: '2031-05-06T07:08:09.123Z',
    tenant: 'demo',
    data,
  };
}

async function commit(...rows: OutboxRow[]): Promise<void> {
  await inTransaction(database.dataSource, (tx) => enqueue(tx, SCHEMA, rows));
}

async function waiting(): Promise<string[]> {
  const rows = await query<{ event_id: string }>(
    database.dataSource,
    'SELECT event_id FROM loom.outbox ORDER BY id',
  );
  return rows.map(({ event_id }) => event_id);
}

async function valueOf({ metrics }: Pick<RunningRelay, 'metrics'>, name: string): Promise<number> {
  const metric = await metrics.getSingleMetric(name)?.get();
  return metric?.values[0]?.value ?? Number.NaN;
}

async function expectEmptyOutbox(withinMs = 5_000): Promise<void> {
  await eventually(async () => expect(await waiting()).toEqual([]), { withinMs });
}

/** Keys of different shards. */
async function keysOfDifferentShards(count: number): Promise<string[]> {
  const rows = await query<{ key: string }>(
    database.dataSource,
    `SELECT min('k' || n) AS key FROM generate_series(1, 10000) AS n GROUP BY hashtext('k' || n) & 63 LIMIT $1`,
    [count],
  );
  return rows.map(({ key }) => key);
}

async function sessions(): Promise<{ pid: number }[]> {
  return await query(
    database.dataSource,
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'loom:outbox'`,
  );
}

async function shardsByRelay(): Promise<number[]> {
  const rows = await query<{ count: string }>(
    database.dataSource,
    `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
     GROUP BY pid ORDER BY 1`,
  );
  return rows.map(({ count }) => Number(count));
}

describe('enqueue', () => {
  it('keeps the order given, whatever the number of rows', async () => {
    const ids = Array.from({ length: 2_500 }, (_, n) => String(n));
    await commit(...ids.map((id) => anEvent(`key-${id}`, id)));
    expect(await waiting()).toEqual(ids);
  });

  it('spreads keys over all shards, and one key always over the same', async () => {
    await commit(...Array.from({ length: 5_000 }, (_, n) => anEvent(`key-${String(n % 2_500)}`, String(n))));
    const shards = await query<{ shard: number }>(
      database.dataSource,
      'SELECT DISTINCT shard FROM loom.outbox ORDER BY 1',
    );
    expect(shards.map(({ shard }) => shard)).toEqual(Array.from({ length: SHARDS }, (_, shard) => shard));
    const torn = await query(
      database.dataSource,
      'SELECT key FROM loom.outbox GROUP BY key HAVING count(DISTINCT shard) > 1',
    );
    expect(torn).toEqual([]);
  });

  it('leaves nothing to publish when its transaction is rolled back', async () => {
    const work = inTransaction(database.dataSource, async (tx) => {
      enqueue(tx, SCHEMA, [anEvent('k', 'a')]);
      throw new RangeError('of our own');
    });
    await expect(work).rejects.toThrow(RangeError);
    expect(await waiting()).toEqual([]);
  });
});

describe('the outbox relay', () => {
  it('publishes what was committed and deletes it after the acknowledgement', async () => {
    aRelay();
    await commit(
      {
        ...anEvent('demo:1022', 'e1', '{"order":"1022"}'),
        subject: '1022',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        headers: { origin: 'test' },
      },
      anEvent('demo:1022', 'e2'),
    );
    await expectEmptyOutbox();
    expect(publisher.log).toEqual([
      {
        topic: TOPIC,
        key: 'demo:1022',
        id: 'e1',
        type: 'heddle.order.submitted.v1',
        source: SOURCE,
        time: '2031-05-06T07:08:09.123Z',
        subject: '1022',
        tenant: 'demo',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        data: '{"order":"1022"}',
        headers: { origin: 'test' },
      },
      expect.objectContaining({ id: 'e2' }),
    ]);
  });

  it('does not wait for its next poll when it is nudged', async () => {
    // Beyond the deadline of this test: only the nudge can bring them.
    const { relay } = aRelay(publisher, 600_000);
    for (let n = 0; n < 20; n += 1) {
      await commit(anEvent('k', String(n)));
      relay.nudge();
      await eventually(() => expect(publisher.idsOf('k').at(-1)).toBe(String(n)), { withinMs: 10_000 });
    }
  });

  it('does not leave to its next poll what is not urgent, urgent or not what came with it', async () => {
    const { relay } = aRelay(publisher, 600_000);
    for (let n = 0; n < 6; n += 1) {
      await commit(anEvent('k', String(n)));
      relay.nudgeAtLeisure();
      if (n % 2 === 1) relay.nudge();
      await eventually(() => expect(publisher.idsOf('k').at(-1)).toBe(String(n)), { withinMs: 10_000 });
    }
  });

  it('holds back the later rows of a key until the earlier one is through', async () => {
    const tries = { b: 0 };
    publisher.verdict = ({ id }) => (id === 'b' && (tries.b += 1) < 4 ? 'transient' : 'ok');
    aRelay();
    await commit(...['a', 'b', 'c', 'd'].map((id) => anEvent('k', id)));
    await expectEmptyOutbox();
    expect(publisher.idsOf('k')).toEqual(['a', 'b', 'c', 'd']);
  });

  it('publishes a row again that was acknowledged before an earlier one of its key', async () => {
    const publish = publisher.publish.bind(publisher);
    let broken = true;
    // A publisher that breaks its promise once: the second event gets through, the first does not.
    publisher.publish = async (events) => {
      if (!broken) return await publish(events);
      broken = false;
      await publish(events.slice(1));
      return events.map((_, index) =>
        index === 0 ? { ok: false, error: { code: 'QUEUE_FULL', permanent: false } } : { ok: true },
      );
    };
    aRelay();
    await commit(anEvent('k', 'a'), anEvent('k', 'b'));
    await expectEmptyOutbox();
    expect(publisher.idsOf('k')).toEqual(['b', 'a', 'b']);
  });

  it('survives a publisher that rejects, and loses nothing', async () => {
    const publish = publisher.publish.bind(publisher);
    let failures = 3;
    publisher.publish = async (events) => {
      failures -= 1;
      if (failures >= 0) throw new RangeError('of the publisher');
      return await publish(events);
    };
    aRelay();
    await commit(anEvent('k', 'a'), anEvent('k', 'b'));
    await expectEmptyOutbox();
    expect(publisher.idsOf('k')).toEqual(['a', 'b']);
  });

  it('lets the other shards go on while one waits for Kafka', async () => {
    const [slow = '', ...others] = await keysOfDifferentShards(20);
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    publisher.before = (events) => (events.some(({ key }) => key === slow) ? released : Promise.resolve());
    const { relay } = aRelay();
    await commit(anEvent(slow, 'stuck'));
    for (let round = 0; round < 5; round += 1) {
      await commit(...others.map((key) => anEvent(key, `${key}-${String(round)}`)));
      relay.nudge();
      await eventually(async () => expect(await waiting()).toEqual(['stuck']), { withinMs: 2_000 });
    }
    expect(publisher.idsOf(slow)).toEqual([]);
    release();
    await expectEmptyOutbox();
    expect(publisher.log).toHaveLength(1 + 5 * others.length);
  });

  it('sets a refused row aside with its reason, is not ready any more, and goes on', async () => {
    publisher.verdict = ({ id }) => (id === 'bad' ? 'permanent' : 'ok');
    const running = aRelay();
    await commit(anEvent('k', 'a'), anEvent('k', 'bad'), anEvent('k', 'c'));
    await expectEmptyOutbox();
    expect(publisher.idsOf('k')).toEqual(['a', 'c']);
    expect(await listRefused(database.dataSource, SCHEMA)).toEqual([
      expect.objectContaining({ eventId: 'bad', topic: TOPIC, tenant: 'demo', reason: 'REFUSED: too large' }),
    ]);
    await eventually(
      () => expect(running.health.ready().failing).toEqual({ outbox: '1 outbox rows were refused by Kafka' }),
      {
        withinMs: 1_000,
      },
    );
    expect(await valueOf(running, 'heddle_outbox_refused_rows')).toBe(1);

    publisher.verdict = () => 'ok';
    const refused = await listRefused(database.dataSource, SCHEMA);
    expect(
      await requeueRefused(
        database.dataSource,
        SCHEMA,
        refused.map(({ id }) => id),
      ),
    ).toBe(1);
    await expectEmptyOutbox();
    expect(publisher.idsOf('k')).toEqual(['a', 'c', 'bad']);
    await eventually(() => expect(running.health.ready().status).toBe('ok'), { withinMs: 7_000 });
  }, 15_000);

  it.each([
    ['all shards', () => Array.from({ length: SHARDS }, (_, shard) => shard)],
    ['some of them', (used: readonly number[]) => used],
  ])(
    'reads large documents of %s a few at a time, oldest first, and a huge one alone',
    async (_, shardsOf) => {
      const sizes = [6_000_000, 1_500_000, 1_500_000, 1_500_000, 10];
      const keys = await keysOfDifferentShards(sizes.length);
      await commit(...sizes.map((size, n) => anEvent(keys[n] ?? '', String(n), 'x'.repeat(size))));
      const client = createClient(database.dataSource, { suffix: 'test', settings: {} });
      await client.connect();
      const table = new OutboxTable(client, SCHEMA);
      const rows = await query<{ shard: number }>(database.dataSource, 'SELECT shard FROM loom.outbox');
      const shards = shardsOf(rows.map(({ shard }) => shard));
      const reads: string[][] = [];
      for (let left = sizes.length; left > 0; left -= reads.at(-1)?.length ?? left) {
        const read = await table.read(shards);
        expect(read.hasMore).toBe(read.rows.length < left);
        reads.push(read.rows.map(({ event_id }) => event_id));
        await table.delete(read.rows.map(({ id }) => id));
      }
      await client.end();
      expect(reads).toEqual([['0'], ['1', '2'], ['3', '4']]);
    },
  );

  it('shows how old the oldest row is, and how many wait', async () => {
    publisher.verdict = () => 'transient';
    await commit(anEvent('k', 'a'), anEvent('k', 'b'));
    const running = aRelay();
    await eventually(async () => expect(await valueOf(running, 'heddle_outbox_rows')).toBe(2), {
      withinMs: 2_000,
    });
    const age = await valueOf(running, 'heddle_outbox_oldest_age_seconds');
    await delay(50);
    expect(await valueOf(running, 'heddle_outbox_oldest_age_seconds')).toBeGreaterThan(age);
  });

  it('finishes what is on its way before it stops, and leaves the rest', async () => {
    const [slow = '', other = ''] = await keysOfDifferentShards(2);
    publisher.before = () => delay(300);
    const { relay } = aRelay();
    await commit(anEvent(slow, 'on its way'));
    await eventually(() => expect(publisher.calls).toHaveLength(1), { withinMs: 2_000 });
    const stopped = relay.stop();
    await commit(anEvent(other, 'later'));
    await stopped;
    expect(await waiting()).toEqual(['later']);
    expect(publisher.idsOf(slow)).toEqual(['on its way']);
    await eventually(async () => expect(await sessions()).toEqual([]), { withinMs: 2_000 });
  });
});

describe('several outbox relays', () => {
  it('share the shards, and take over those of one that is gone', async () => {
    aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([64]), { withinMs: 3_000 });
    const second = aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([32, 32]), { withinMs: 3_000 });
    const third = aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([20, 22, 22]), { withinMs: 3_000 });
    await Promise.all([second.relay.stop(), third.relay.stop()]);
    await eventually(async () => expect(await shardsByRelay()).toEqual([64]), { withinMs: 2_000 });
  }, 15_000);

  it('take over the shards of one that hangs, though its connection is open', async () => {
    const hung = createClient(database.dataSource, { suffix: 'outbox', settings: RELAY_SESSION });
    hung.on('error', () => undefined);
    await hung.connect();
    const locks = new ShardLocks(hung, SCHEMA);
    await locks.register();
    await locks.balance(() => true);
    expect(await shardsByRelay()).toEqual([64]);
    const { metrics } = aRelay();
    await eventually(async () => expect(await valueOf({ metrics }, 'heddle_outbox_shards')).toBe(64), {
      withinMs: 9_000,
    });
    await commit(anEvent('k', 'a'));
    await expectEmptyOutbox();
  }, 20_000);

  it('publish each row once while nothing is wrong', async () => {
    aRelay();
    aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([32, 32]), { withinMs: 3_000 });
    publisher.before = () => upTo(20);
    const ids = Array.from({ length: 3_000 }, (_, n) => String(n));
    await commit(...ids.map((id) => anEvent(`key-${String(Number(id) % 100)}`, id)));
    await expectEmptyOutbox();
    expect(publisher.log.map(({ id }) => Number(id)).toSorted((a, b) => a - b)).toEqual(ids.map(Number));
    for (const key of new Set(publisher.log.map((event) => event.key))) {
      const published = publisher.idsOf(key).map(Number);
      expect(published).toEqual(published.toSorted((a, b) => a - b));
    }
  }, 15_000);

  it('leave shards alone whose rows are on their way', async () => {
    const keys = await keysOfDifferentShards(SHARDS);
    publisher.before = () => delay(2_500);
    aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([64]), { withinMs: 3_000 });
    await commit(...keys.map((key) => anEvent(key, key)));
    await eventually(() => expect(publisher.calls).toHaveLength(SHARDS), { withinMs: 2_000 });
    aRelay();
    await eventually(async () => expect(await shardsByRelay()).toEqual([32, 32]), { withinMs: 6_000 });
    await expectEmptyOutbox();
    expect(publisher.calls).toHaveLength(SHARDS);
    expect(publisher.log.map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
  }, 15_000);

  /**
   * Writers raise the version of a key under its row lock and enqueue it; relays lose their connections, Kafka
   * refuses now and then. The ledger of each key has to grow by one each time it grows.
   */
  it('never skip and never reorder a key, though their connections die', async () => {
    const KEYS = 40;
    const KILLS = 8;
    publisher.before = () => upTo(30);
    publisher.verdict = () => (Math.random() < 0.05 ? 'transient' : 'ok');
    const running = [aRelay(), aRelay()];
    let writing = true;

    const writers = Array.from({ length: 3 }, async () => {
      for (let round = 0; writing; round += 1) {
        const keys = Array.from({ length: 5 }, () => `key-${String(Math.floor(Math.random() * KEYS))}`);
        await inTransaction(database.dataSource, async (tx) => {
          const raised = await tx.query<{ key: string; version: number }>(
            `INSERT INTO loom.counters AS c SELECT DISTINCT k, 1 FROM unnest($1::text[]) AS k ORDER BY k
             ON CONFLICT (key) DO UPDATE SET version = c.version + 1 RETURNING key, version`,
            [keys],
          );
          enqueue(
            tx,
            SCHEMA,
            raised.map(({ key, version }) => anEvent(key, String(version))),
          );
          await upTo(10);
        });
        running[round % 2]?.relay.nudge();
      }
    });
    for (let kills = 0; kills < KILLS; kills += 1) {
      await delay(200);
      const victim = await eventually(
        async () => {
          const open = await sessions();
          expect(open.length).toBeGreaterThan(0);
          return open[Math.floor(Math.random() * open.length)];
        },
        { withinMs: 5_000 },
      );
      await execute(database.dataSource, 'SELECT pg_terminate_backend($1)', [victim?.pid]);
    }
    writing = false;
    await Promise.all(writers);
    await expectEmptyOutbox(20_000);

    const versions = await query<{ key: string; version: number }>(
      database.dataSource,
      'SELECT key, version FROM loom.counters',
    );
    expect(versions.length).toBeGreaterThan(KEYS / 2);
    for (const { key, version } of versions) {
      const grown: number[] = [];
      for (const id of publisher.idsOf(key).map(Number)) if (id > (grown.at(-1) ?? 0)) grown.push(id);
      expect({ key, grown }).toEqual({ key, grown: Array.from({ length: version }, (_, n) => n + 1) });
    }
  }, 60_000);
});
