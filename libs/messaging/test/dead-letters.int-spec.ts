import { afterEach, describe, expect, it } from '@jest/globals';
import { DeadLetterStore } from '../src/index.js';
import type { ReceivedEvent } from '../src/index.js';
import { eventually } from '@heddle/testing';

import { Bench, TOPIC, TYPE, catalogue, event, logger } from './harness.js';
import type { Thing } from './harness.js';

const HEADERS = {
  ce_id: 'x',
  ce_type: TYPE,
  ce_source: '/t',
  ce_time: '2026-01-01T00:00:00Z',
  tenant: 'demo',
};

describe('a message that cannot be handled', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  function store(): DeadLetterStore {
    return new DeadLetterStore({ kafka: bench.kafka, catalogue, publisher: bench.publisher, logger });
  }

  it('is set aside with its origin and our words, and the partition goes on', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 0);
    await bench.raw({ key: 'k', value: '{"n":"secret words"}', headers: HEADERS });
    await bench.raw({ key: 'k', value: '{"n": 1', headers: HEADERS });
    await bench.raw({ key: 'k', value: '{"n":1}', headers: { tenant: 'demo' } });
    await bench.raw({ value: '{"n":1}', headers: HEADERS });
    await bench.publish('k', 2);
    const numbers: number[] = [];
    await bench.consume(({ events }) => {
      numbers.push(...events.map(({ data }) => data.n));
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(numbers).toEqual([0, 2]);
      },
      { withinMs: 15_000 },
    );

    const { items } = await store().list(TOPIC);
    expect(items.map(({ origin, code, words }) => [origin.offset, code, words])).toEqual([
      ['4', 'NO_KEY', 'the key is missing'],
      ['3', 'NO_TYPE', 'ce_type is missing'],
      ['2', 'NOT_JSON', 'the value is not JSON'],
      ['1', 'CONTRACT', 'n: invalid_type'],
    ]);
    expect(items[3]).toMatchObject({
      topic: TOPIC,
      offset: '0',
      origin: { partition: 0, offset: '1' },
      group: 'readers',
      key: 'k',
      replayedAt: [],
      headers: HEADERS,
    });
    expect(JSON.stringify(items)).not.toContain('secret');
    const read = await store().read(TOPIC, '0');
    expect(read?.value.toString()).toBe('{"n":"secret words"}');
    expect(await store().counts()).toEqual([{ topic: TOPIC, records: 4 }]);
  }, 45_000);

  it('that the handler refuses is alone in the dead letters, its neighbours commit', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', ...Array.from({ length: 40 }, (_, n) => n));
    const committed: number[] = [];
    const { metrics } = await bench.consume(({ events }) => {
      const numbers = events.map(({ data }) => data.n);
      if (numbers.includes(17)) return Promise.reject(new TypeError('quotes "secret words"'));
      committed.push(...numbers);
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(committed).toEqual(Array.from({ length: 40 }, (_, n) => n).filter((n) => n !== 17));
      },
      { withinMs: 15_000 },
    );
    const { items } = await store().list(TOPIC);
    expect(items.map(({ code, words, origin }) => [code, words, origin.offset])).toEqual([
      ['HANDLER', 'the handler raised TypeError', '17'],
    ]);
    expect(await metrics.getSingleMetricAsString('heddle_dead_letters_total')).toContain(
      `heddle_dead_letters_total{topic="${TOPIC}",code="HANDLER"} 1`,
    );
  }, 45_000);

  it('is replayed with the offset at which it first stood, and noted as replayed', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 0);
    let isBroken = true;
    const received: ReceivedEvent<Thing>[] = [];
    await bench.consume(({ events }) => {
      if (isBroken && events.some(({ data }) => data.n === 1)) return Promise.reject(new TypeError('ours'));
      received.push(...events);
      return Promise.resolve(undefined);
    });
    const poison = { ...event('k', 1), headers: { 'x-own': 'yes' } };
    await bench.publisher.publishAll([poison], { deadlineMs: 5_000 });
    await bench.publish('k', 2);
    const letters = store();
    await eventually(
      async () => {
        expect((await letters.list(TOPIC)).items).toHaveLength(1);
      },
      { withinMs: 20_000, everyMs: 500 },
    );
    isBroken = false;
    expect(await letters.replay(TOPIC, '0')).toEqual({ ok: true, partition: 0, offset: '3' });
    await eventually(
      () => {
        expect(received.map(({ data }) => data.n)).toEqual([0, 2, 1]);
      },
      { withinMs: 15_000 },
    );
    expect(received[1]?.originOffset).toBeUndefined();
    expect(received[2]).toMatchObject({
      id: poison.id,
      offset: '3',
      originOffset: '1',
      headers: { 'x-own': 'yes' },
    });
    const { items } = await letters.list(TOPIC);
    expect(items).toHaveLength(1);
    expect(items[0]?.replayedAt).toHaveLength(1);
    expect(await letters.replay(TOPIC, '7')).toEqual({ ok: false, reason: 'NOT_FOUND' });
  }, 60_000);

  it('is not set aside when twenty before it were: the partition is paused and the service not ready', async () => {
    bench = await Bench.open();
    const bad = Array.from({ length: 30 }, (_, n) => event('k', n, { n: 'bad' }));
    await bench.publisher.publishAll(bad, { deadlineMs: 5_000 });
    const consumer = await bench.consume(({ events }) => {
      received.push(...events.map(({ data }) => data.n));
      return Promise.resolve(undefined);
    });
    const received: number[] = [];
    await eventually(
      () => {
        expect(Object.values(consumer.health.ready().failing)).toEqual([
          expect.stringMatching(/^thing.said\/\d is paused: too many dead letters in a row$/),
        ]);
      },
      { withinMs: 20_000 },
    );
    expect((await store().counts())[0]?.records).toBe(20);
    expect(consumer.health.live().status).toBe('ok');
    // Keys of every other partition still pass.
    for (let n = 0; n < 40; n += 1) await bench.publish(`other-${String(n)}`, n);
    await eventually(
      () => {
        expect(received.length).toBeGreaterThan(20);
      },
      { withinMs: 15_000 },
    );
    expect((await store().counts())[0]?.records).toBe(20);
  }, 60_000);
});
