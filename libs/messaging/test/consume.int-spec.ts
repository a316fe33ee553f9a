import { afterEach, describe, expect, it } from '@jest/globals';
import { eventually } from '@heddle/testing';

import { Bench, LostConnection, TOPIC, TYPE, event } from './harness.js';
import type { Thing } from './harness.js';
import type { EventBatch, ReceivedEvent } from '../src/index.js';

describe('a published event', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  it('arrives with its headers, and the events of one key arrive in their order', async () => {
    bench = await Bench.open();
    const received: ReceivedEvent<Thing>[] = [];
    await bench.consume((batch) => {
      received.push(...batch.events);
      return Promise.resolve(undefined);
    });
    const first = {
      ...event('demo:a', 0),
      subject: 'a',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      headers: { 'x-own': 'yes' },
    };
    const keys = ['demo:a', 'demo:b', 'demo:c', 'demo:d', 'demo:e'];
    await bench.publisher.publishAll([first], { deadlineMs: 5_000 });
    await Promise.all(
      keys.flatMap((key) => Array.from({ length: 100 }, (_, n) => bench.publish(key, n + 1))),
    );

    await eventually(
      () => {
        expect(received).toHaveLength(501);
      },
      { withinMs: 15_000 },
    );
    for (const key of keys) {
      const numbers = received.filter((one) => one.key === key).map(({ data }) => data.n);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    expect(received.find(({ data }) => data.n === 0)).toMatchObject({
      topic: TOPIC,
      key: 'demo:a',
      id: first.id,
      type: TYPE,
      source: '/test',
      time: first.time,
      subject: 'a',
      tenant: 'demo',
      traceparent: first.traceparent,
      headers: { ce_specversion: '1.0', 'content-type': 'application/json', 'x-own': 'yes' },
    });
  }, 30_000);

  it('is offered in chunks that name all raw offsets, skipped ones too', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 1, 2);
    await bench.publisher.publishAll([{ ...event('k', 3), type: 'heddle.thing.said.v9' }], {
      deadlineMs: 5_000,
    });
    const batches: EventBatch<Thing>[] = [];
    await bench.consume((batch) => {
      batches.push(batch);
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(batches).toHaveLength(1);
      },
      { withinMs: 15_000 },
    );
    expect(batches[0]).toMatchObject({
      topic: TOPIC,
      chunks: [{ topic: TOPIC, partition: 0, firstOffset: '0', nextOffset: '3' }],
    });
    expect(batches[0]?.chunks[0]?.cluster).toMatch(/^[\w-]{22}$/);
    expect(batches[0]?.events.map(({ data }) => data.n)).toEqual([1, 2]);
  }, 30_000);
});

describe('what lies in several partitions', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  it('comes in one call, each partition with its own offsets', async () => {
    bench = await Bench.open();
    const keys = ['demo:a', 'demo:b', 'demo:c', 'demo:d', 'demo:e', 'demo:f', 'demo:g', 'demo:h'];
    for (const key of keys) await bench.publish(key, 1, 2);
    const batches: EventBatch<Thing>[] = [];
    await bench.consume((batch) => {
      batches.push(batch);
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(batches.flatMap(({ events }) => events)).toHaveLength(16);
      },
      { withinMs: 15_000 },
    );
    expect(batches).toHaveLength(1);
    const [batch] = batches;
    for (const { partition, nextOffset } of batch!.chunks) {
      const own = batch!.events.filter((event) => event.partition === partition);
      expect(own.map(({ offset }) => offset)).toEqual(own.map((_, index) => String(index)));
      expect(nextOffset).toBe(String(own.length));
    }
  }, 30_000);

  it('is set aside alone where it is poison: what came along with it is handled', async () => {
    bench = await Bench.open();
    const keys = ['demo:a', 'demo:b', 'demo:c', 'demo:d', 'demo:e'];
    for (const key of keys) await bench.publish(key, 1, 2, 3);
    const committed: string[] = [];
    const consumer = await bench.consume(({ events }) => {
      if (events.some(({ key, data }) => key === 'demo:c' && data.n === 2))
        return Promise.reject(new RangeError('poison'));
      committed.push(...events.map(({ key, data }) => `${key} ${String(data.n)}`));
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(committed).toHaveLength(14);
      },
      { withinMs: 20_000 },
    );
    expect(new Set(committed).size).toBe(14);
    expect(committed).not.toContain('demo:c 2');
    expect(await consumer.metrics.getSingleMetricAsString('heddle_dead_letters_total')).toMatch(/} 1$/m);
  }, 30_000);
});

describe('a handler', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  it('that lost its database gets the same events again, and nothing is set aside', async () => {
    bench = await Bench.open();
    let outages = 8;
    const committed: number[] = [];
    const consumer = await bench.consume(({ events }) => {
      if (outages > 0) {
        outages -= 1;
        return Promise.reject(new LostConnection('gone'));
      }
      committed.push(...events.map(({ data }) => data.n));
      return Promise.resolve(undefined);
    });
    await bench.publish('k', 1, 2, 3);
    await eventually(
      () => {
        expect(committed).toEqual([1, 2, 3]);
      },
      { withinMs: 30_000 },
    );
    expect(await consumer.metrics.getSingleMetricAsString('heddle_dead_letters_total')).not.toMatch(/} \d/);
  }, 45_000);

  it('that takes longer than the session keeps its partition', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    let calls = 0;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const consumer = await bench.consume(
      async () => {
        calls += 1;
        await held;
        return undefined;
      },
      { sessionTimeoutMs: 1_500, heartbeatIntervalMs: 400 },
    );
    await bench.publish('k', 1);
    await eventually(
      () => {
        expect(calls).toBe(1);
      },
      { withinMs: 15_000 },
    );
    const heldSince = performance.now();
    await eventually(
      () => {
        expect(performance.now() - heldSince).toBeGreaterThan(4_000);
      },
      { withinMs: 6_000 },
    );
    release();
    await bench.publish('k', 2);
    await eventually(
      () => {
        expect(calls).toBe(2);
      },
      { withinMs: 5_000 },
    );
    await eventually(
      () => {
        expect(consumer.server.caughtUpSince(TOPIC)).toBeDefined();
      },
      { withinMs: 10_000 },
    );
  }, 45_000);
});
