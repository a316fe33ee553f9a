import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { Heddle, eventually, startKafka, startPostgres } from '@heddle/testing';
import type { KafkaCluster } from '@heddle/testing';

import type { BenchRow } from './bench-row.js';
import { cpuMsOf, memoryMbOf, percentile } from './process-facts.js';

const ORDERS_PER_SECOND = 50;
const SECONDS = 20;
const WARM_UP_ORDERS = 50;
const FILE_BYTES = 20_000;
const LARGE_FILE_BYTES = 200 * 1_000_000;
const P99_AIM_MS = 500;
const REST_AIM_MB = 150;
const LARGE_AIM_MB = 200;

/** From the 202 to the file under its final name, with the processes that `npm start` runs as well. */
export async function pipelineBench(): Promise<readonly BenchRow[]> {
  const [kafka, postgres] = await Promise.all([startKafka(), startPostgres({ durable: true })]);
  try {
    const heddle = await Heddle.start({
      kafkaBrokers: kafka.brokers,
      databaseUrl: postgres.url,
    });
    try {
      return await measure(heddle, kafka);
    } finally {
      await heddle.stop();
    }
  } finally {
    await Promise.all([kafka.close(), postgres.close()]);
  }
}

async function measure(heddle: Heddle, kafka: KafkaCluster): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  const names = [...heddle.services.keys()];
  const pidOf = new Map<string, number>(names.map((name) => [name, heddle.service(name).pid ?? 0]));
  await delay(3_000);
  for (const name of names) {
    const { now } = memoryMbOf(pidOf.get(name) ?? 0);
    rows.push({
      figure: `memory at rest, ${name}`,
      value: `${now.toFixed(0)} MB`,
      aim: `<= ${String(REST_AIM_MB)} MB`,
      holds: now <= REST_AIM_MB,
    });
  }
  // Two files an order: production and preview.
  await heddle.integrate({ include: { recipe: false, ticket: false } });
  await Promise.all(
    ['front.pdf', 'front.png'].map((name) =>
      writeFile(join(heddle.filesDirectory, name), Buffer.alloc(FILE_BYTES, name)),
    ),
  );
  const view = {
    code: 'Front',
    previewPng: heddle.fileUrl('front.png'),
    productionReady: true,
    production: heddle.fileUrl('front.pdf'),
  };
  const recipes = Array.from({ length: 20 }, (_, index) => ({ id: `B${String(index)}`, views: [view] }));
  await heddle.client.expect('POST', '/api/v2/recipe', recipes);

  await run(heddle, 'W', WARM_UP_ORDERS);
  pidOf.set('Kafka', kafka.nodes[0]?.pid ?? 0);
  pidOf.set('this process (load, SFTP and file server)', process.pid);
  const before = new Map([...pidOf].map(([name, pid]) => [name, cpuMsOf(pid)]));
  const latencies = await run(heddle, 'N', ORDERS_PER_SECOND * SECONDS);
  rows.push(latencyRow(latencies));
  for (const [name, pid] of pidOf) {
    const cpuMs = (cpuMsOf(pid) - (before.get(name) ?? 0)) / latencies.length;
    rows.push({ figure: `CPU per order, ${name}`, value: `${cpuMs.toFixed(2)} ms`, aim: '', holds: true });
  }
  for (const name of names) {
    const { now } = memoryMbOf(pidOf.get(name) ?? 0);
    rows.push({
      figure: `memory after the run, ${name}`,
      value: `${now.toFixed(0)} MB`,
      aim: '',
      holds: true,
    });
  }
  rows.push(await largeFile(heddle, pidOf.get('outbound-sftp') ?? 0));
  return rows;
}

function latencyRow(latencies: readonly number[]): BenchRow {
  const sorted = [...latencies].sort((a, b) => a - b);
  const p99 = percentile(sorted, 0.99);
  return {
    figure: `accept -> renamed on SFTP, ${String(ORDERS_PER_SECOND)} orders/s, two 20 kB files`,
    value: `p50 ${percentile(sorted, 0.5).toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`,
    aim: `p99 < ${String(P99_AIM_MS)} ms`,
    holds: p99 < P99_AIM_MS,
  };
}

/** @returns milliseconds from the acknowledgement to the last of the order's two files, for each order. */
async function run(heddle: Heddle, prefix: string, orders: number): Promise<readonly number[]> {
  const acceptedAt = new Map<string, number>();
  const startedAt = performance.now();
  const posts: Promise<void>[] = [];
  for (let index = 0; index < orders; index += 1) {
    await delay(Math.max(0, (index * 1_000) / ORDERS_PER_SECOND - (performance.now() - startedAt)));
    const orderNumber = `${prefix}${String(index)}`;
    const line = { recipeId: `B${String(index % 20)}`, orderNumber, itemId: '1', itemQuantity: 1 };
    posts.push(
      heddle.client.expect('POST', '/api/v2/recipe/order', [line]).then(() => {
        acceptedAt.set(orderNumber, Date.now());
      }),
    );
  }
  await Promise.all(posts);
  const arrivals = await eventually(
    () => {
      const files = new Map<string, number[]>();
      for (const { to, atMs } of heddle.sftp.renames) {
        const orderNumber = /\/([^/]+?)_ID_/.exec(to)?.[1] ?? '';
        if (acceptedAt.has(orderNumber)) files.set(orderNumber, [...(files.get(orderNumber) ?? []), atMs]);
      }
      const complete = [...files].filter(([, times]) => times.length >= 2);
      if (complete.length < orders)
        throw new Error(`${String(complete.length)} of ${String(orders)} orders arrived`);
      return complete;
    },
    { withinMs: 60_000, everyMs: 200 },
  );
  return arrivals.map(([orderNumber, times]) =>
    Math.max(0, Math.max(...times) - (acceptedAt.get(orderNumber) ?? 0)),
  );
}

async function largeFile(heddle: Heddle, workerPid: number): Promise<BenchRow> {
  const source = createWriteStream(join(heddle.filesDirectory, 'large.bin'));
  const block = Buffer.alloc(1_000_000, 'large');
  for (let written = 0; written < LARGE_FILE_BYTES; written += block.length) {
    if (!source.write(block)) await once(source, 'drain');
  }
  source.end();
  await finished(source);
  const view = { code: 'Front', productionReady: true, production: heddle.fileUrl('large.bin') };
  await heddle.client.expect('POST', '/api/v2/recipe', { id: 'LARGE', views: [view] });
  const startedAt = performance.now();
  await heddle.client.expect('POST', '/api/v2/recipe/order', [
    { recipeId: 'LARGE', orderNumber: 'LARGE', itemId: '1', itemQuantity: 1 },
  ]);
  const arrived = join(heddle.sftpDirectory, 'LARGE_ID_LARGE_R_LARGE_Production-Front.bin');
  await eventually(() => stat(arrived), { withinMs: 120_000, everyMs: 50 });
  const seconds = (performance.now() - startedAt) / 1_000;
  const exact = (await readFile(arrived)).equals(await readFile(join(heddle.filesDirectory, 'large.bin')));
  if (!exact) throw new Error('the large file arrived with other bytes');
  const { peak } = memoryMbOf(workerPid);
  return {
    figure: '200 MB file through a worker, highest memory',
    value: `${peak.toFixed(0)} MB, ${(LARGE_FILE_BYTES / 1_000_000 / seconds).toFixed(0)} MB/s`,
    aim: `<= ${String(LARGE_AIM_MB)} MB`,
    holds: peak <= LARGE_AIM_MB,
  };
}
