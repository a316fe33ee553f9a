import type { HookCatcher, KafkaCluster } from '@heddle/testing';
// eslint-disable-next-line @nx/enforce-module-boundaries -- plain kafkajs is the bare chain
import { Kafka, logLevel } from 'kafkajs';
import { Pool } from 'undici';

import type { BenchRow } from './bench-row.js';
import { heddleChain, spread, withHookHub } from './hook-load.js';
import type { Accept, HookHub, Outcome } from './hook-load.js';

/** Twenty hooks take 600 calls a second within their pacing of 30. */
const HOOKS = 20;
const SECONDS = 15;
const WARM_UP_S = 10;
const RUNS = [
  { rate: 50, aimMs: 100 },
  { rate: 200, aimMs: 100 },
  { rate: 500, aimMs: 250 },
] as const;
const RATIO_AIM = 3;
/** Orders a second by which the highest rate is looked for. */
const RATE_STEP = 25;
const LOWEST_RATE = 100;
/** Twenty hooks take no more. */
const HIGHEST_RATE = 600;
const PROBE_S = 10;
const HELD_S = 60;

/** From the 202 to the call of the hook, against a chain of three topics that does nothing else. */
export function hooksBench(): Promise<readonly BenchRow[]> {
  return withHookHub({}, measure);
}

async function measure({ heddle, kafka, catcher }: HookHub): Promise<readonly BenchRow[]> {
  const accept = await heddleChain(heddle, catcher, HOOKS);
  const bare = await BareChain.start(kafka, catcher);
  const rows: BenchRow[] = [];
  try {
    await spread(accept, catcher, { prefix: 'W', rate: RUNS[0].rate, seconds: WARM_UP_S });
    await spread(bare.accept, catcher, { prefix: 'V', rate: RUNS[0].rate, seconds: WARM_UP_S });
    for (const { rate, aimMs } of RUNS) {
      const ours = await spread(accept, catcher, { prefix: `H${String(rate)}-`, rate, seconds: SECONDS });
      const theirs = await spread(bare.accept, catcher, {
        prefix: `B${String(rate)}-`,
        rate,
        seconds: SECONDS,
      });
      rows.push(...rowsOf(rate, aimMs, ours, theirs));
    }
    rows.push(await highestRate(accept, catcher));
  } finally {
    await bare.close();
  }
  return rows;
}

/** Rises by steps for as long as a few seconds are kept up with, then falls until a whole minute is. */
async function highestRate(accept: Accept, catcher: HookCatcher): Promise<BenchRow> {
  let rate = LOWEST_RATE;
  const probe = (seconds: number): Promise<Outcome> =>
    spread(accept, catcher, { prefix: `R${String(rate)}-${String(seconds)}-`, rate, seconds });
  while (rate < HIGHEST_RATE && isHeld(rate, await probe(PROBE_S))) rate += RATE_STEP;
  for (; rate > 0; rate -= RATE_STEP) {
    const minute = await probe(HELD_S);
    if (!isHeld(rate, minute)) continue;
    return {
      figure: `accept -> hook called: highest rate held for ${String(HELD_S)} s with nothing waiting`,
      value: `${String(rate)}/s, p50 ${minute.p50.toFixed(0)} ms, p99 ${minute.p99.toFixed(0)} ms`,
      aim: '',
      holds: true,
    };
  }
  return { figure: 'accept -> hook called: highest rate', value: 'none was held', aim: '> 0', holds: false };
}

/** Nothing waits: at the end no more are on their way than came within the last second. */
function isHeld(rate: number, { waiting, acceptedPerSecond }: Outcome): boolean {
  return waiting < rate && acceptedPerSecond > rate * 0.98;
}

function rowsOf(rate: number, aimMs: number, ours: Outcome, theirs: Outcome): readonly BenchRow[] {
  const at = `accept -> hook called, ${String(rate)} orders/s over ${String(HOOKS)} hooks`;
  const ratio = ours.p99 / theirs.p99;
  return [
    {
      figure: at,
      value: `p50 ${ours.p50.toFixed(0)} ms, p99 ${ours.p99.toFixed(0)} ms; accepted ${ours.acceptedPerSecond.toFixed(0)}/s`,
      aim: `p99 < ${String(aimMs)} ms`,
      holds: ours.p99 < aimMs,
    },
    {
      figure: `${at}, against a bare chain of the same topics`,
      value: `${ratio.toFixed(1)} x (its p99 ${theirs.p99.toFixed(0)} ms)`,
      aim: `<= ${String(RATIO_AIM)} x`,
      holds: ratio <= RATIO_AIM,
    },
  ];
}

const HOPS = ['bare.received', 'bare.submitted', 'bare.requested'] as const;

/** The hops of an order without Heddle: plain kafkajs, one process, nothing kept, nothing checked. */
class BareChain {
  private constructor(
    readonly accept: Accept,
    readonly close: () => Promise<void>,
  ) {}

  static async start(kafka: KafkaCluster, catcher: HookCatcher): Promise<BareChain> {
    const client = new Kafka({ brokers: kafka.brokers.split(','), logLevel: logLevel.NOTHING });
    const admin = client.admin();
    await admin.connect();
    await admin.createTopics({
      topics: HOPS.map((topic) => ({ topic, numPartitions: 4, replicationFactor: 1 })),
    });
    await admin.disconnect();
    const producer = client.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    const hooks = new Pool(`http://127.0.0.1:${String(catcher.port)}`, { connections: 64 });
    const consumers = await Promise.all(
      HOPS.map(async (topic, hop) => {
        const next = HOPS[hop + 1];
        const consumer = client.consumer({ groupId: topic, maxWaitTimeInMs: 1_000 });
        await consumer.connect();
        await consumer.subscribe({ topic, fromBeginning: true });
        await consumer.run({
          partitionsConsumedConcurrently: 4,
          eachBatch: async ({ batch: { messages } }) => {
            const orders = messages.map(({ key, value }) => ({ key, value }));
            if (next !== undefined) await producer.send({ topic: next, acks: -1, messages: orders });
            else await Promise.all(orders.map(({ key }) => call(hooks, String(key))));
          },
        });
        return consumer;
      }),
    );
    return new BareChain(
      async (orderNumber) => {
        const [topic] = HOPS;
        await producer.send({ topic, acks: -1, messages: [{ key: orderNumber, value: orderNumber }] });
      },
      async () => {
        await Promise.all(consumers.map((consumer) => consumer.disconnect()));
        await producer.disconnect();
        await hooks.close();
      },
    );
  }
}

async function call(hooks: Pool, orderNumber: string): Promise<void> {
  const { body } = await hooks.request({
    method: 'POST',
    path: '/hooks/catch/1/bare/',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ orderNumber, files: [] }),
  });
  await body.dump();
}
