import { setTimeout as delay } from 'node:timers/promises';

import {
  Heddle,
  HookCatcher,
  createIntegration,
  eventually,
  startKafka,
  startPostgres,
} from '@heddle/testing';
import type { HookReaction, KafkaCluster } from '@heddle/testing';
import { Pool } from 'undici';

import { percentile } from './process-facts.js';

/** Orders that are still on their way so long after the last was accepted count as left behind. */
const REST_MS = 60_000;

/** Hands over one order and resolves when it is accepted. */
export type Accept = (orderNumber: string, index: number) => Promise<void>;

export interface Outcome {
  readonly p50: number;
  readonly p99: number;
  /** Below the rate that was asked for, the acceptance itself was behind. */
  readonly acceptedPerSecond: number;
  /** Orders that were on their way when the last one was accepted. */
  readonly waiting: number;
}

export interface Spread {
  /** Of the order numbers: tells one run from another. */
  readonly prefix: string;
  /** Orders a second. */
  readonly rate: number;
  readonly seconds: number;
  /** The first of so many hooks do this instead of answering, and are not waited for. */
  readonly sick?: { readonly count: number; readonly hooks: number; readonly reaction: HookReaction };
}

export interface HookHub {
  readonly heddle: Heddle;
  readonly kafka: KafkaCluster;
  readonly catcher: HookCatcher;
}

/** Runs `work` on a hub of its own whose hooks are all caught by one catcher. */
export async function withHookHub<T>(
  env: Readonly<Record<string, string>>,
  work: (hub: HookHub) => Promise<T>,
): Promise<T> {
  const [kafka, postgres, catcher] = await Promise.all([
    startKafka(),
    startPostgres({ durable: true }),
    HookCatcher.start({ keep: 1 }),
  ]);
  try {
    const heddle = await Heddle.start({
      kafkaBrokers: kafka.brokers,
      databaseUrl: postgres.url,
      workers: ['zapier'],
      allowedAddresses: [`127.0.0.1/32:${String(catcher.port)}`],
      env,
    });
    try {
      return await work({ heddle, kafka, catcher });
    } finally {
      await heddle.stop();
    }
  } finally {
    await Promise.all([kafka.close(), postgres.close(), catcher.close()]);
  }
}

/** Orders at a steady rate; milliseconds from the acceptance of each to its call, of the hooks that are well. */
export async function spread(
  accept: Accept,
  catcher: HookCatcher,
  { prefix, rate, seconds, sick }: Spread,
): Promise<Outcome> {
  const isSick = (index: number): boolean => sick !== undefined && index % sick.hooks < sick.count;
  const calledAt = new Map<string, number>();
  catcher.rule = ({ text }) => {
    const orderNumber = /"orderNumber":"([^"]+)"/.exec(text)?.[1] ?? '';
    if (!orderNumber.startsWith(prefix)) return undefined;
    if (isSick(Number(orderNumber.slice(prefix.length)))) return sick?.reaction;
    if (!calledAt.has(orderNumber)) calledAt.set(orderNumber, performance.now());
    return undefined;
  };
  const acceptedAt = new Map<string, number>();
  const count = rate * seconds;
  const startedAt = performance.now();
  const accepting: Promise<void>[] = [];
  for (let index = 0; index < count; index += 1) {
    const wait = (index * 1_000) / rate - (performance.now() - startedAt);
    if (wait > 1) await delay(wait);
    const orderNumber = `${prefix}${String(index)}`;
    accepting.push(
      accept(orderNumber, index).then(() => void acceptedAt.set(orderNumber, performance.now())),
    );
  }
  await Promise.all(accepting);
  const acceptedPerSecond = count / ((performance.now() - startedAt) / 1_000);
  const callsThen = calledAt.size;
  const awaited = Array.from({ length: count }, (_, index) => index).filter((index) => !isSick(index)).length;
  await eventually(
    () => {
      if (calledAt.size < awaited)
        throw new Error(`${String(awaited - calledAt.size)} of ${String(awaited)} orders are not called yet`);
    },
    { withinMs: REST_MS, everyMs: 250 },
  );
  const latencies = [...calledAt]
    // A call may be there before the answer to whoever posted the order.
    .map(([orderNumber, at]) => Math.max(0, at - (acceptedAt.get(orderNumber) ?? at)))
    .sort((a, b) => a - b);
  return {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    acceptedPerSecond,
    waiting: awaited - callsThen,
  };
}

/** A channel, a key and an integration for each hook, so that each order is one call. */
export async function heddleChain(heddle: Heddle, catcher: HookCatcher, hooks: number): Promise<Accept> {
  const keys: string[] = [];
  for (let hook = 0; hook < hooks; hook += 1) {
    const channel = `hook-${String(hook)}`;
    await createIntegration(heddle.admin, {
      destination: 'zapier',
      description: channel,
      channels: [channel],
      settings: { 'hook-url': catcher.hookUrl(channel) },
    });
    const { key } = (await heddle.admin.expect('POST', '/api/v2/keys', {
      name: channel,
      permissions: ['order-tracking'],
      channel,
    })) as { key: string };
    keys.push(key);
  }
  await heddle.client.expect('POST', '/api/v2/recipe', { id: 'BENCH-1', views: [] });
  const pool = new Pool(heddle.baseUrl, { connections: 16 });
  return async (orderNumber, index) => {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: '/api/v2/recipe/order',
      headers: {
        authorization: `Bearer ${keys[index % hooks] ?? ''}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify([{ recipeId: 'BENCH-1', orderNumber, itemId: '1', itemQuantity: 1 }]),
    });
    await body.dump();
    if (statusCode !== 202) throw new Error(`an order was answered ${String(statusCode)}`);
  };
}
