import { setTimeout as delay } from 'node:timers/promises';

import { KafkaPublisher, createTopics } from '../src/index.js';
import type { KafkaOptions } from '../src/index.js';
import type { KafkaCluster } from '@heddle/testing';
import { Kafka, logLevel } from 'kafkajs';
import { Registry } from 'prom-client';

import { TOPIC, catalogue, event, logger } from './harness.js';

/** What a caller was told, against what stands in the topic. */
export interface Ledger {
  readonly acknowledged: number;
  /** Acknowledged, and not in the topic. */
  readonly lost: number;
  /** Keys whose events first appear in another order than they were published in. */
  readonly reordered: readonly string[];
  readonly unacknowledged: number;
}

export interface Entry {
  readonly key: string;
  readonly n: number;
}

/** Publishes in one call; resolves with one answer per entry. */
export type Write = (entries: readonly Entry[]) => Promise<readonly boolean[]>;

export interface LedgerOptions {
  readonly cluster: KafkaCluster;
  readonly kafka: KafkaOptions;
  readonly write: Write;
  /** One broker after the other: SIGKILL and a new start, or SIGSTOP and SIGCONT. */
  readonly faults: readonly ('kill' | 'hang')[];
}

const PARTITIONS = 12;
const CALLERS = 24;
const KEYS_PER_CALLER = 24;
/** Calls that one caller has under way at once: their events share keys. */
const PIPELINED = 2;
const UP_MS = 2_500;
/** Longer than the brokers' session, so that the leaders have moved. */
const DOWN_MS = 5_000;
/** Longer than the client's patience with one request. */
const HUNG_MS = 12_000;

export interface Acknowledged {
  readonly entries: readonly Entry[];
  readonly unacknowledged: number;
}

/** Per key, in the order of the log. */
export type Found = ReadonlyMap<string, readonly number[]>;

/** Writes while brokers are killed and come back, one after the other. */
export async function ledgerRun(options: LedgerOptions): Promise<Acknowledged> {
  await createTopics(catalogue, { kafka: options.kafka, logger, partitions: PARTITIONS });
  const acknowledged: Entry[] = [];
  let unacknowledged = 0;
  let isOver = false;
  const pace = async (caller: number): Promise<void> => {
    const next = new Array<number>(KEYS_PER_CALLER).fill(0);
    const underWay = new Set<Promise<void>>();
    while (!isOver) {
      const entries = next.map((n, key) => ({ key: `${String(caller)}-${String(key)}`, n }));
      next.forEach((n, key) => (next[key] = n + 1));
      const call: Promise<void> = options.write(entries).then((answers) => {
        entries.forEach((entry, index) => {
          if (answers[index] === true) acknowledged.push(entry);
          else unacknowledged += 1;
        });
        underWay.delete(call);
      });
      underWay.add(call);
      if (underWay.size >= PIPELINED) await Promise.race(underWay);
      await delay(5);
    }
    await Promise.all(underWay);
  };
  const callers = Array.from({ length: CALLERS }, (_, caller) => pace(caller));
  await disturb(options);
  isOver = true;
  await Promise.all(callers);
  return { entries: acknowledged, unacknowledged };
}

async function disturb({ cluster, faults }: LedgerOptions): Promise<void> {
  for (const [index, fault] of faults.entries()) {
    const node = cluster.nodes[index % cluster.nodes.length];
    await delay(UP_MS);
    if (fault === 'kill') await node?.kill();
    else node?.pause();
    await delay(fault === 'kill' ? DOWN_MS : HUNG_MS);
    if (fault === 'kill') await node?.start(cluster.nodes.length);
    else node?.resume();
  }
  await delay(UP_MS);
}

export function compare({ entries: acknowledged, unacknowledged }: Acknowledged, found: Found): Ledger {
  const reordered = [...found].filter(([, numbers]) => {
    const firsts = [...new Set(numbers)];
    return firsts.some((n, index) => index > 0 && n < (firsts[index - 1] ?? 0));
  });
  const sets = new Map([...found].map(([key, numbers]) => [key, new Set(numbers)]));
  return {
    acknowledged: acknowledged.length,
    lost: acknowledged.filter(({ key, n }) => sets.get(key)?.has(n) !== true).length,
    reordered: reordered.map(([key]) => key),
    unacknowledged,
  };
}

export async function readAll(options: KafkaOptions): Promise<Found> {
  const kafka = new Kafka({ brokers: [...options.brokers], logLevel: logLevel.NOTHING });
  const topic = options.topicPrefix + TOPIC;
  const admin = kafka.admin();
  await admin.connect();
  const ends = new Map(
    (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]),
  );
  await admin.disconnect();
  const found = new Map<string, number[]>();
  const open = new Set([...ends].filter(([, end]) => end > 0).map(([partition]) => partition));
  const done = Promise.withResolvers<undefined>();
  const consumer = kafka.consumer({ groupId: `${options.topicPrefix}ledger`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachBatch: ({ batch }) => {
      for (const message of batch.messages) {
        const key = message.key?.toString() ?? '';
        const { n } = JSON.parse(message.value?.toString() ?? '') as Entry;
        const numbers = found.get(key);
        if (numbers) numbers.push(n);
        else found.set(key, [n]);
      }
      if (Number(batch.lastOffset()) >= (ends.get(batch.partition) ?? 0) - 1) open.delete(batch.partition);
      if (open.size === 0) done.resolve(undefined);
      return Promise.resolve();
    },
  });
  await done.promise;
  await consumer.disconnect();
  return found;
}

/** Ours. */
export async function withPublisher<T>(kafka: KafkaOptions, use: (write: Write) => Promise<T>): Promise<T> {
  const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
  try {
    return await use(async (entries) => {
      const results = await publisher.publish(
        entries.map(({ key, n }) => event(key, n)),
        { deadlineMs: 60_000 },
      );
      return results.map(({ ok }) => ok);
    });
  } finally {
    await publisher.close();
  }
}

/** The control: kafkajs as its documentation uses it, one `send()` for the messages of a call. */
export async function withPlainSend<T>(kafka: KafkaOptions, use: (write: Write) => Promise<T>): Promise<T> {
  const producer = new Kafka({
    brokers: [...kafka.brokers],
    logLevel: logLevel.NOTHING,
    // Its defaults; under NODE_ENV=test it has others.
    retry: { retries: 5, initialRetryTime: 300, maxRetryTime: 30_000, factor: 0.2, multiplier: 2 },
  }).producer();
  await producer.connect();
  try {
    return await use(async (entries) => {
      try {
        await producer.send({
          topic: kafka.topicPrefix + TOPIC,
          acks: -1,
          messages: entries.map(({ key, n }) => ({ key, value: JSON.stringify({ n }) })),
        });
        return entries.map(() => true);
      } catch {
        return entries.map(() => false);
      }
    });
  } finally {
    await producer.disconnect();
  }
}
