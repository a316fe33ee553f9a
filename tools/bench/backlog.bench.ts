import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createDataSource, query } from '@heddle/persistence';
import {
  Heddle,
  HookCatcher,
  createIntegration,
  eventually,
  startKafka,
  startPostgres,
  startS3Proxy,
} from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { bareLoop } from './bare-s3-loop.js';
import type { BenchRow } from './bench-row.js';

const HOOKS = 20;
const HOOK_BACKLOG = 20_000;
/** The killed worker had called so often by then. */
const KILL_AFTER = 2_000;
const BACK_AIM_MS = 15_000;
const BUCKET = 'backlog';
const S3_BACKLOG = 5_000;
const FILE_BYTES = 20_000;
/** Of an integration by default. */
const WINDOW = 16;
/** Of the integration, and connections of the loop: as it comes, and raised, as for a target that takes a lot. */
const S3_WINDOWS = [WINDOW, 64];
/** One integration holds at most this part of a worker's attempts. */
const POOL_SHARE = 8;
const S3_AIM = 0.8;
/** Associations of one request. */
const POSTED_AT_ONCE = 1_000;
const WITHIN = { withinMs: 600_000, everyMs: 250 };

/** What waited while nothing could go out: all of it at last, at what speed, and what a killed worker changes. */
export async function backlogBench(): Promise<readonly BenchRow[]> {
  const [kafka, postgres] = await Promise.all([startKafka(), startPostgres({ durable: true })]);
  try {
    const rows = [...(await killedWorker(kafka, postgres))];
    for (const window of S3_WINDOWS) rows.push(await bucketBack(kafka, postgres, window));
    return rows;
  } finally {
    await Promise.all([kafka.close(), postgres.close()]);
  }
}

async function killedWorker(kafka: KafkaCluster, postgres: LocalPostgres): Promise<readonly BenchRow[]> {
  const catcher = await HookCatcher.start({ keep: 1 });
  const heddle = await Heddle.start({
    kafkaBrokers: kafka.brokers,
    databaseUrl: postgres.url,
    workers: ['zapier'],
    allowedAddresses: [`127.0.0.1/32:${String(catcher.port)}`],
    env: { HOOK_REQUESTS_PER_SECOND: '10000' },
  });
  try {
    const calls = new Map<string, number>();
    let calledAt = 0;
    catcher.rule = ({ headers }) => {
      const id = String(headers['x-delivery-id']);
      calls.set(id, (calls.get(id) ?? 0) + 1);
      calledAt = performance.now();
      return undefined;
    };
    // Every order goes to each of them: a twentieth of the backlog in orders.
    const integrations = [];
    for (let hook = 0; hook < HOOKS; hook += 1) {
      const { integrationId } = await createIntegration(heddle.admin, {
        destination: 'zapier',
        description: `Hook ${String(hook)}`,
        settings: { 'hook-url': catcher.hookUrl(`hook-${String(hook)}`) },
      });
      integrations.push(integrationId);
    }
    await heddle.client.expect('POST', '/api/v2/recipe', { id: 'BACKLOG-1', views: [] });
    await waitBehind(heddle, integrations, HOOK_BACKLOG / HOOKS);

    for (const id of integrations) await heddle.admin.expect('POST', `/api/v2/integrations/${id}/resume`);
    await eventually(() => {
      if (calls.size < KILL_AFTER) throw new Error(`${String(calls.size)} calls`);
    }, WITHIN);
    heddle.service('outbound-zapier').signal('SIGKILL');
    const killedAt = performance.now();
    const calledBefore = calls.size;
    await eventually(() => {
      if (calls.size <= calledBefore + HOOKS * WINDOW) throw new Error('nothing new is called');
    }, WITHIN);
    const backMs = calledAt - killedAt;
    await eventually(() => {
      if (calls.size < HOOK_BACKLOG) throw new Error(`${String(calls.size)} of ${String(HOOK_BACKLOG)}`);
    }, WITHIN);
    const rate = (HOOK_BACKLOG - calledBefore) / ((calledAt - killedAt) / 1_000);
    const doubled = [...calls.values()].reduce((sum, count) => sum + count - 1, 0);
    return [
      {
        figure: `worker killed with a backlog of ${String(HOOK_BACKLOG)} calls: calling again after`,
        value: `${(backMs / 1_000).toFixed(1)} s; then ${rate.toFixed(0)}/s to the end, none lost`,
        aim: `<= ${String(BACK_AIM_MS / 1_000)} s`,
        holds: backMs <= BACK_AIM_MS,
      },
      {
        figure: 'worker killed: calls doubled',
        value: String(doubled),
        aim: `<= ${String(HOOKS * WINDOW)}, the attempts in flight`,
        holds: doubled <= HOOKS * WINDOW,
      },
    ];
  } finally {
    await heddle.stop();
    await catcher.close();
  }
}

async function bucketBack(kafka: KafkaCluster, postgres: LocalPostgres, window: number): Promise<BenchRow> {
  const s3 = await startS3Proxy({ buckets: [BUCKET] });
  const heddle = await Heddle.start({
    kafkaBrokers: kafka.brokers,
    databaseUrl: postgres.url,
    workers: ['s3'],
    allowedAddresses: [`127.0.0.1/32:${String(s3.port)}`],
    env: { ATTEMPT_POOL: String(window * POOL_SHARE) },
  });
  try {
    const { integrationId } = await createIntegration(heddle.admin, {
      destination: 's3',
      description: 'Bucket',
      include: { recipe: false, ticket: false },
      limits: { window },
      settings: {
        'access-key-secret': s3.accessKey,
        'secret-key-secret': s3.secretKey,
        bucket: BUCKET,
        region: s3.region,
        endpoint: s3.endpoint,
      },
    });
    await writeFile(join(heddle.filesDirectory, 'front.dst'), Buffer.alloc(FILE_BYTES, 'stitches '));
    const production = heddle.fileUrl('front.dst');
    const views = [{ code: 'Front', productionReady: true, production }];
    await heddle.client.expect('POST', '/api/v2/recipe', { id: 'BACKLOG-1', views });
    const count = S3_BACKLOG;
    await bareLoop(s3, { bucket: BUCKET, url: production, prefix: 'warm-', count: 500, connections: window });
    await waitBehind(heddle, [integrationId], count);

    const startedAt = performance.now();
    await heddle.admin.expect('POST', `/api/v2/integrations/${integrationId}/resume`);
    await eventually(
      async () => {
        const names = await readdir(join(s3.directory, BUCKET));
        const arrived = names.filter((name) => name.startsWith('Q')).length;
        if (arrived < count) throw new Error(`${String(arrived)} of ${String(count)}`);
      },
      { ...WITHIN, everyMs: 1_000 },
    );
    const ours = (performance.now() - startedAt) / 1_000;
    const bare = await bareLoop(s3, {
      bucket: BUCKET,
      url: production,
      prefix: 'bare-',
      count,
      connections: window,
    });
    return {
      figure: `backlog of ${String(count)} deliveries to S3 through the whole hub, against a bare loop over ${String(window)} connections`,
      value: `${(bare / ours).toFixed(2)} (${(count / ours).toFixed(0)}/s against ${(count / bare).toFixed(0)}/s)`,
      aim: `>= ${String(S3_AIM)}`,
      holds: bare / ours >= S3_AIM,
    };
  } finally {
    await heddle.stop();
    await s3.close();
  }
}

/** Orders for paused integrations, until each of their deliveries stands ready. */
async function waitBehind(heddle: Heddle, integrations: readonly string[], orders: number): Promise<void> {
  for (const id of integrations) await heddle.admin.expect('POST', `/api/v2/integrations/${id}/pause`);
  for (let first = 0; first < orders; first += POSTED_AT_ONCE) {
    const lines = Array.from({ length: Math.min(POSTED_AT_ONCE, orders - first) }, (_, index) => ({
      recipeId: 'BACKLOG-1',
      orderNumber: `Q${String(first + index)}`,
      itemId: '1',
      itemQuantity: 1,
    }));
    await heddle.client.expect('POST', '/api/v2/recipe/order', lines);
  }
  const dataSource = createDataSource({
    url: heddle.databaseUrl,
    poolSize: 1,
    applicationName: 'bench',
    schema: 'dispatcher',
    migrations: [],
  });
  await dataSource.initialize();
  try {
    await eventually(async () => {
      const [row] = await query<{ count: string }>(
        dataSource,
        `SELECT count(*) FROM dispatcher.deliveries WHERE state = 'ready'`,
        [],
      );
      if (Number(row?.count) < orders * integrations.length)
        throw new Error(`${String(row?.count)} are ready`);
    }, WITHIN);
  } finally {
    await dataSource.destroy();
  }
}
