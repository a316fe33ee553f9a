import { randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { HookCatcher, startFileServer, startKafka, startS3Proxy, temporaryFolder } from '@heddle/testing';
import type { FileServer, KafkaCluster, S3Proxy } from '@heddle/testing';

import { bareLoop } from './bare-s3-loop.js';
import type { BenchRow } from './bench-row.js';
import { memoryMbOf, percentile } from './process-facts.js';
import { WorkerRig, linkedFile } from './worker-rig.js';

const BUCKET = 'bench';
/** An integration's share of the default pool, and its default window. */
const CONNECTIONS = 16;
const ROUNDS = 3;
const SMALL_BYTES = 20_000;
const SMALL_OBJECTS = 1_500;
const LARGE_BYTES = 500_000_000;
const SMALL_AIM = 0.8;
const LARGE_AIM = 0.6;
const MEMORY_AIM_MB = 200;
const HOOK_ANSWERS_MS = 50;
const HOOK_LANES = 800;
const HOOK_CALLS_OF_A_LANE = 8;
const HOOK_AIM = 1_200;
const HOOK_INTEGRATIONS = 8;

/** Single workers, offered work by this process: what they lose against a loop that does nothing but deliver. */
export async function workersBench(): Promise<readonly BenchRow[]> {
  const [kafka, files] = await Promise.all([
    startKafka(),
    startFileServer({ directory: await temporaryFolder('files') }),
  ]);
  try {
    return [...(await s3Rows(kafka, files)), ...(await hookRows(kafka))];
  } finally {
    await Promise.all([kafka.close(), files.close()]);
  }
}

async function s3Rows(kafka: KafkaCluster, files: FileServer): Promise<readonly BenchRow[]> {
  const s3 = await startS3Proxy({ buckets: [BUCKET] });
  const rig = await WorkerRig.start({
    kind: 's3',
    kafkaBrokers: kafka.brokers,
    ports: [s3.port, files.port],
    settings: { bucket: BUCKET, region: s3.region, endpoint: s3.endpoint },
    secrets: { 'access-key-secret': s3.accessKey, 'secret-key-secret': s3.secretKey },
  });
  try {
    await writeFile(join(files.directory, 'small.dst'), randomBytes(SMALL_BYTES));
    await writeFile(join(files.directory, 'large.dst'), Buffer.alloc(LARGE_BYTES, randomBytes(1_000)));
    const small = await compared(rig, s3, files, {
      file: 'small.dst',
      count: SMALL_OBJECTS,
      connections: CONNECTIONS,
    });
    const large = await compared(rig, s3, files, { file: 'large.dst', count: 1, connections: 1 });
    const { peak } = memoryMbOf(rig.worker.pid ?? 0);
    const megabytes = LARGE_BYTES / 1_000_000;
    return [
      {
        figure: `S3 worker: objects of 20 kB a second, against a bare loop over ${String(CONNECTIONS)} connections`,
        value: `${small.ratio.toFixed(2)} (${(SMALL_OBJECTS / small.ours).toFixed(0)} against ${(SMALL_OBJECTS / small.bare).toFixed(0)})`,
        aim: `>= ${String(SMALL_AIM)}`,
        holds: small.ratio >= SMALL_AIM,
      },
      {
        figure: 'S3 worker: MB/s of a 500 MB file, against a bare loop',
        value: `${large.ratio.toFixed(2)} (${(megabytes / large.ours).toFixed(0)} against ${(megabytes / large.bare).toFixed(0)})`,
        aim: `>= ${String(LARGE_AIM)}`,
        holds: large.ratio >= LARGE_AIM,
      },
      {
        figure: 'S3 worker: highest memory of all that',
        value: `${peak.toFixed(0)} MB`,
        aim: `<= ${String(MEMORY_AIM_MB)} MB`,
        holds: peak <= MEMORY_AIM_MB,
      },
    ];
  } finally {
    await rig.close();
    await s3.close();
  }
}

interface Compared {
  /** Seconds, each of the median round. */
  readonly ours: number;
  readonly bare: number;
  /** Above 1: faster than the loop. The median of the rounds' own. */
  readonly ratio: number;
}

/** Both ways take turns, so that a busy moment of the machine hits both; the first round is not counted. */
async function compared(
  rig: WorkerRig,
  s3: S3Proxy,
  files: FileServer,
  work: { readonly file: string; readonly count: number; readonly connections: number },
): Promise<Compared> {
  const { file, count, connections } = work;
  const url = files.url(file);
  const integrationId = randomUUID();
  const rounds: { ours: number; bare: number }[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const names = Array.from({ length: count }, (_, index) => `${String(round)}-${String(index)}-${file}`);
    const waiting = [...names];
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: connections }, async () => {
        for (let name = waiting.pop(); name !== undefined; name = waiting.pop())
          await rig.deliver(integrationId, name, [linkedFile(name, url)]);
      }),
    );
    const ours = (performance.now() - startedAt) / 1_000;
    const bare = await bareLoop(s3, {
      bucket: BUCKET,
      url,
      prefix: `bare-${String(round)}-${file}-`,
      count,
      connections,
    });
    if (round > 0) rounds.push({ ours, bare });
  }
  const median = (values: readonly number[]): number =>
    percentile(
      [...values].sort((a, b) => a - b),
      0.5,
    );
  return {
    ours: median(rounds.map(({ ours }) => ours)),
    bare: median(rounds.map(({ bare }) => bare)),
    ratio: median(rounds.map(({ ours, bare }) => bare / ours)),
  };
}

/** Calls of a hook that takes its time: each lane waits for its own, and no lane for another. */
async function hookRows(kafka: KafkaCluster): Promise<readonly BenchRow[]> {
  const catcher = await HookCatcher.start({ keep: 1 });
  const rig = await WorkerRig.start({
    kind: 'zapier',
    kafkaBrokers: kafka.brokers,
    ports: [catcher.port],
    env: { HOOK_REQUESTS_PER_SECOND: '10000', ATTEMPT_POOL: '1024' },
    settings: {},
    secrets: { 'hook-url': catcher.hookUrl() },
  });
  try {
    catcher.rule = () => ({ afterMs: HOOK_ANSWERS_MS });
    const integrations = Array.from({ length: HOOK_INTEGRATIONS }, () => randomUUID());
    const calls = async (lanes: number): Promise<number> => {
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: lanes }, async (_, lane) => {
          const integrationId = integrations[lane % HOOK_INTEGRATIONS] ?? '';
          for (let call = 0; call < HOOK_CALLS_OF_A_LANE; call += 1)
            await rig.deliver(integrationId, String(lane), [
              linkedFile(`${String(call)}.dst`, catcher.hookUrl()),
            ]);
        }),
      );
      return (lanes * HOOK_CALLS_OF_A_LANE) / ((performance.now() - startedAt) / 1_000);
    };
    await calls(HOOK_LANES / 2);
    const rate = await calls(HOOK_LANES);
    return [
      {
        figure: `hook worker: calls a second, each answered after ${String(HOOK_ANSWERS_MS)} ms, ${String(HOOK_LANES)} lanes in order`,
        value: rate.toFixed(0),
        aim: `>= ${String(HOOK_AIM)}`,
        holds: rate >= HOOK_AIM,
      },
    ];
  } finally {
    await rig.close();
    await catcher.close();
  }
}
