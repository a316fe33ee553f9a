import { setImmediate } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KafkaPublisher, createTopics } from '../src/index.js';
import type { PublishResult } from '../src/index.js';
import { startKafka } from '@heddle/testing';
import type { KafkaCluster } from '@heddle/testing';
import { eventually } from '@heddle/testing';
import { Kafka, logLevel } from 'kafkajs';
import { Registry } from 'prom-client';

import { Bench, TOPIC, catalogue, event, logger } from './harness.js';

function codeOf(result: PublishResult | undefined): string {
  return result?.ok === false ? result.error.code : 'ok';
}

describe('a publisher', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  it('refuses only the event that Kafka will never take', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    const events = Array.from({ length: 20 }, (_, n) => event('k', n));
    events[7] = event('k', 7, { n: 7, text: 'x'.repeat(9 * 1024 * 1024) });
    const results = await bench.publisher.publish(events, { deadlineMs: 20_000 });
    expect(results.map(codeOf)).toEqual(events.map((_, n) => (n === 7 ? 'REFUSED' : 'ok')));
    expect(results[7]).toMatchObject({ ok: false, error: { permanent: true } });
    const offsets = results.flatMap((result) => (result.ok ? [Number(result.offset)] : []));
    expect(offsets).toEqual(offsets.map((_, index) => index));
  }, 45_000);

  it('that compresses is read like any other', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    const publisher = new KafkaPublisher({
      kafka: { ...bench.kafka, compression: 'gzip' },
      logger,
      metrics: new Registry(),
    });
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    await publisher.publishAll(
      numbers.map((n) => event('k', n)),
      { deadlineMs: 10_000 },
    );
    await publisher.close();
    const received: number[] = [];
    await bench.consume(({ events }) => {
      received.push(...events.map(({ data }) => data.n));
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(received).toEqual(numbers);
      },
      { withinMs: 15_000 },
    );
  }, 45_000);

  it('writes to the topic that somebody creates while it waits', async () => {
    bench = await Bench.open([]);
    const publishing = bench.publisher.publish([event('k', 1)], { deadlineMs: 20_000 });
    const late = await bench.publisher.publish([event('k', 0)], { deadlineMs: 300 });
    expect(late.map(codeOf)).toEqual(['TIMEOUT']);
    await createTopics(catalogue, { kafka: bench.kafka, logger });
    expect((await publishing).map(codeOf)).toEqual(['ok']);
  }, 45_000);

  it('takes all events of a call or none when its queue is full', async () => {
    bench = await Bench.open([]);
    const publisher = new KafkaPublisher({
      kafka: bench.kafka,
      logger,
      metrics: new Registry(),
      maxQueuedBytes: 2_000,
    });
    // The topic does not exist, so nothing leaves the queue before its deadline.
    const waiting = publisher.publish([event('a', 1), event('a', 2)], { deadlineMs: 1_000 });
    const refused = await publisher.publish(
      Array.from({ length: 6 }, (_, n) => event('b', n)),
      { deadlineMs: 1_000 },
    );
    expect(refused.map(codeOf)).toEqual(Array.from({ length: 6 }, () => 'QUEUE_FULL'));
    expect((await waiting).map(codeOf)).toEqual(['TIMEOUT', 'TIMEOUT']);
    const again = publisher.publish(
      Array.from({ length: 6 }, (_, n) => event('b', n)),
      { deadlineMs: 200 },
    );
    expect((await again).map(codeOf)).toEqual(Array.from({ length: 6 }, () => 'TIMEOUT'));
    await publisher.close();
    expect((await publisher.publish([event('a', 1)], { deadlineMs: 100 })).map(codeOf)).toEqual(['CLOSED']);
  }, 45_000);
});

describe('a publisher whose broker', () => {
  let cluster: KafkaCluster;
  let bench: Bench;
  beforeEach(async () => {
    cluster = await startKafka();
    bench = await Bench.open(catalogue, cluster.brokers.split(','));
    await bench.publish('k', 0);
  }, 60_000);
  afterEach(async () => {
    await bench.close();
    await cluster.close();
  }, 30_000);

  async function log(): Promise<string[]> {
    const kafka = new Kafka({ brokers: [...bench.kafka.brokers], logLevel: logLevel.NOTHING });
    const consumer = kafka.consumer({ groupId: 'log', maxWaitTimeInMs: 50 });
    const values: string[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic: bench.kafka.topicPrefix + TOPIC, fromBeginning: true });
    await consumer.run({
      eachMessage: ({ message }) => Promise.resolve(void values.push(message.value?.toString() ?? '')),
    });
    await eventually(
      () => {
        expect(values.at(-1)).toBe('{"n":99}');
      },
      { withinMs: 20_000 },
    );
    await consumer.disconnect();
    return values;
  }

  it('hangs answers TIMEOUT at the deadline and goes on by itself when the broker does', async () => {
    const [node] = cluster.nodes;
    await setImmediate();
    node?.pause();
    const ended: string[] = [];
    const publish = async (name: string, n: number, deadlineMs: number): Promise<void> => {
      const results = await bench.publisher.publish([event('k', n)], { deadlineMs });
      ended.push(`${name} ${results.map(codeOf).join()}`);
    };
    const inFlight = publish('in flight', 1, 1_500);
    // Else both may go in one request.
    await setImmediate();
    const queued = publish('queued', 2, 1_000);
    await Promise.all([inFlight, queued]);
    expect(ended).toEqual(['queued TIMEOUT', 'in flight TIMEOUT']);
    await eventually(
      () => {
        expect(bench.publisher.isConnected).toBe(false);
      },
      { withinMs: 15_000 },
    );

    // Beyond the patience with one request: the connection is closed, and new ones are not answered either.
    const late = await bench.publisher.publish([event('k', 3)], { deadlineMs: 8_000 });
    expect(late.map(codeOf)).toEqual(['TIMEOUT']);

    node?.resume();
    expect((await bench.publisher.publish([event('k', 99)], { deadlineMs: 5_000 })).map(codeOf)).toEqual([
      'ok',
    ]);
    expect(bench.publisher.isConnected).toBe(true);
    // What was queued at its deadline is withdrawn; what was in flight may have been written.
    expect(await log()).not.toContain('{"n":2}');
  }, 60_000);

  it('is killed and started again needs no new publisher', async () => {
    const [node] = cluster.nodes;
    await node?.kill();
    const duringOutage = bench.publisher.publish([event('k', 1)], { deadlineMs: 30_000 });
    await eventually(
      () => {
        expect(bench.publisher.isConnected).toBe(false);
      },
      { withinMs: 15_000 },
    );
    await node?.start();
    expect((await duringOutage).map(codeOf)).toEqual(['ok']);
    await node?.kill();
    await node?.start();
    expect((await bench.publisher.publish([event('k', 99)], { deadlineMs: 4_000 })).map(codeOf)).toEqual([
      'ok',
    ]);
    expect(await log()).toEqual(['{"n":0}', '{"n":1}', '{"n":99}']);
  }, 90_000);
});
