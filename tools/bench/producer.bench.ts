import { KafkaPublisher, createTopics } from '@heddle/messaging';
import type { KafkaOptions, OutgoingEvent } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';
import { startKafka } from '@heddle/testing';
// eslint-disable-next-line @nx/enforce-module-boundaries -- plain kafkajs is the control of the comparison
import { Kafka, logLevel } from 'kafkajs';
import { Registry } from 'prom-client';
import { z } from 'zod';

import type { BenchRow } from './bench-row.js';

const TOPIC = {
  name: 'bench.sent',
  partitions: 8,
  retentionMs: 3_600_000,
  types: new Map([['bench', z.unknown()]]),
};
const MESSAGE_BYTES = 943;
const AIMS = new Map([
  [1, 1.5],
  [64, 5],
  [500, 10],
]);
/** Both ways take turns, so that a busy moment of the machine hits both. */
const ROUNDS = 5;
const ROUND_MS = 2_000;
const WARM_UP_MS = 1_000;
/** The broker compiles its code while it works; the first figure must not pay for that. */
const BROKER_WARM_UP_MS = 4_000;

type Publish = (key: string) => Promise<unknown>;

/** Acknowledged messages a second at 1, 64 and 500 callers, against kafkajs' plain `send()`. */
export async function producerBench(): Promise<readonly BenchRow[]> {
  const cluster = await startKafka({ forBenchmarks: true });
  try {
    return await measure({ brokers: cluster.brokers.split(','), clientId: 'bench', topicPrefix: '' });
  } finally {
    await cluster.close();
  }
}

async function measure(kafka: KafkaOptions): Promise<readonly BenchRow[]> {
  const logger = createLogger({ service: 'bench', level: 'warn' });
  await createTopics([TOPIC], { kafka, logger });
  const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
  await publisher.connect();
  const plain = new Kafka({
    brokers: [...kafka.brokers],
    clientId: 'plain',
    logLevel: logLevel.NOTHING,
  }).producer();
  await plain.connect();

  const data = JSON.stringify({ text: 'x'.repeat(MESSAGE_BYTES - '{"text":""}'.length) });
  const ours: Publish = (key) => publisher.publishAll([eventOf(key, data)], { deadlineMs: 30_000 });
  const theirs: Publish = (key) =>
    plain.send({ topic: TOPIC.name, acks: -1, messages: [{ key, value: data, headers: headersOf(key) }] });
  try {
    await rate(64, ours, BROKER_WARM_UP_MS);
    await rate(64, theirs, BROKER_WARM_UP_MS);
    const rows: BenchRow[] = [];
    for (const [callers, aim] of AIMS) rows.push(await compare(callers, aim, ours, theirs));
    return rows;
  } finally {
    await publisher.close();
    await plain.disconnect();
  }
}

async function compare(callers: number, aim: number, ours: Publish, theirs: Publish): Promise<BenchRow> {
  await rate(callers, ours, WARM_UP_MS);
  await rate(callers, theirs, WARM_UP_MS);
  const rounds: { readonly ours: number; readonly theirs: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push({ ours: await rate(callers, ours, ROUND_MS), theirs: await rate(callers, theirs, ROUND_MS) });
  }
  const ratio = median(rounds.map((round) => round.ours / round.theirs));
  const [own, plain] = [
    median(rounds.map((round) => round.ours)),
    median(rounds.map((round) => round.theirs)),
  ];
  return {
    figure: `producer, ${String(callers)} callers: acknowledged msg/s against plain send()`,
    value: `${ratio.toFixed(1)} x (${own.toFixed(0)} against ${plain.toFixed(0)} msg/s)`,
    aim: `>= ${String(aim)} x`,
    holds: ratio >= aim,
  };
}

/** Each caller waits for its acknowledgement before it publishes again. */
async function rate(callers: number, publish: Publish, forMs: number): Promise<number> {
  const startedAt = performance.now();
  let acknowledged = 0;
  const call = async (caller: number): Promise<void> => {
    for (let n = 0; performance.now() - startedAt < forMs; n += 1) {
      await publish(`demo:${String(caller)}-${String(n)}`);
      acknowledged += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  return (acknowledged / (performance.now() - startedAt)) * 1_000;
}

function eventOf(key: string, data: string): OutgoingEvent {
  return { ...EVENT, key, id: key, data };
}

const EVENT = {
  topic: TOPIC.name,
  type: 'bench',
  source: '/bench',
  time: '2026-01-01T00:00:00.000Z',
  tenant: 'demo',
} as const;

/** The same headers as ours, so that both write the same bytes. */
function headersOf(key: string): Record<string, string> {
  return {
    ce_specversion: '1.0',
    ce_id: key,
    ce_type: EVENT.type,
    ce_source: EVENT.source,
    ce_time: EVENT.time,
    'content-type': 'application/json',
    tenant: EVENT.tenant,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
