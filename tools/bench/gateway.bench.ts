import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { topicCatalogue } from '@heddle/contracts';
import { createTopics } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';
import {
  Child,
  createDatabase,
  eventually,
  freePort,
  startKafka,
  startPostgres,
  temporaryFolder,
  workspaceRoot,
} from '@heddle/testing';
import { z } from 'zod';

import type { BenchRow } from './bench-row.js';

const CONNECTIONS = 64;
const ROUNDS = 3;
const ROUND_S = 8;
const WARM_UP_S = 4;
const RATIO_AIM = 0.5;
const RATE_AIM = 6_000;
const P99_AIM_MS = 30;

const run = promisify(execFile);

/** Ends when its time is over and prints one line. A process of its own, so that it does not measure itself. */
const LOAD = `
import autocannon from 'autocannon';
const { url, key, connections, seconds, bodies } = JSON.parse(process.argv[1]);
const headers = { authorization: 'Bearer ' + key, 'content-type': 'application/json' };
const result = await autocannon({
  url, connections, duration: seconds, method: 'POST',
  requests: bodies.map((body) => ({ method: 'POST', path: '/api/v2/recipe/order', headers, body })),
});
const accepted = result.statusCodeStats['202']?.count ?? 0;
const { p50, p99 } = result.latency;
console.log(JSON.stringify({
  rate: accepted / result.duration, p50, p99,
  refused: result.requests.total - accepted + result.errors + result.timeouts,
}));
`;

const Load = z.object({ rate: z.number(), p50: z.number(), p99: z.number(), refused: z.number() });
type Load = z.infer<typeof Load>;

interface Gateway {
  readonly url: string;
  readonly child: Child;
}

/** Durable accepts a second, one association a request, against the same gateway with nothing behind it. */
export async function gatewayBench(): Promise<readonly BenchRow[]> {
  const [kafka, postgres] = await Promise.all([
    startKafka({ forBenchmarks: true }),
    startPostgres({ durable: true }),
  ]);
  const children: Child[] = [];
  try {
    const database = await createDatabase(postgres.url);
    const env = {
      ...process.env,
      LOG_LEVEL: 'info',
      KAFKA_BROKERS: kafka.brokers,
      DATABASE_URL: database.url,
      PUBLIC_URL: 'http://127.0.0.1',
      STORE_URL: 'http://127.0.0.1:1',
      DISPATCHER_URL: 'http://127.0.0.1:1',
      SERVICE_TOKEN_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    };
    const app = join(workspaceRoot(), 'dist', 'apps', 'ingest-gateway');
    await createTopics(topicCatalogue, {
      kafka: { brokers: kafka.brokers.split(','), clientId: 'bench', topicPrefix: '' },
      logger: createLogger({ service: 'bench', level: 'error' }),
    });
    await run(process.execPath, [join(app, 'migrate.js')], { env });
    await run(process.execPath, [join(app, 'admin.js'), 'create-tenant', 'bench'], { env });
    const command = ['create-key', '--tenant', 'bench', '--name', 'bench', '--permissions', 'order-tracking'];
    const { stdout } = await run(process.execPath, [join(app, 'admin.js'), ...command], { env });
    const { key } = z.object({ key: z.string() }).parse(JSON.parse(stdout));

    const start = async (entry: string): Promise<Gateway> => {
      const gateway = await startGateway(join(app, entry), env);
      children.push(gateway.child);
      return gateway;
    };
    const [durable, bare] = await Promise.all([start('main.js'), start('bench.js')]);
    await load(durable, key, WARM_UP_S);
    await load(bare, key, WARM_UP_S);
    const rounds: { durable: Load; bare: Load }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      rounds.push({
        durable: await load(durable, key, ROUND_S),
        bare: await load(bare, key, ROUND_S),
      });
    }
    return rowsOf(rounds);
  } finally {
    await Promise.all(children.map((child) => child.end('SIGTERM', 12_000)));
    await Promise.all([kafka.close(), postgres.close()]);
  }
}

function rowsOf(rounds: readonly { durable: Load; bare: Load }[]): readonly BenchRow[] {
  const median = (pick: (round: { durable: Load; bare: Load }) => number): number =>
    rounds.map(pick).sort((a, b) => a - b)[Math.floor(rounds.length / 2)] ?? 0;
  const rate = median(({ durable }) => durable.rate);
  const bare = median(({ bare: without }) => without.rate);
  const ratio = median((round) => round.durable.rate / round.bare.rate);
  const p99 = median(({ durable }) => durable.p99);
  const refused = rounds.reduce((sum, { durable }) => sum + durable.refused, 0);
  const at = `at ${String(CONNECTIONS)} connections`;
  return [
    {
      figure: `gateway: durable accepts against the same without Kafka (${bare.toFixed(0)}/s), ${at}`,
      value: ratio.toFixed(2),
      aim: `>= ${String(RATIO_AIM)}`,
      holds: ratio >= RATIO_AIM,
    },
    {
      figure: `gateway: durable accepts a second, ${at}`,
      value: rate.toFixed(0),
      aim: `>= ${String(RATE_AIM)}`,
      holds: rate >= RATE_AIM,
    },
    {
      figure: `gateway: durable accepts, p50 and p99, ${at}`,
      value: `${median(({ durable }) => durable.p50).toFixed(0)} ms, ${p99.toFixed(0)} ms`,
      aim: `p99 < ${String(P99_AIM_MS)} ms`,
      holds: p99 < P99_AIM_MS,
    },
    { figure: 'gateway: requests not accepted', value: String(refused), aim: '0', holds: refused === 0 },
  ];
}

async function startGateway(entry: string, env: NodeJS.ProcessEnv): Promise<Gateway> {
  const [port, internalPort] = [await freePort(), await freePort()];
  const logFile = join(await temporaryFolder('bench'), 'gateway.log');
  const child = await Child.spawn({
    name: entry,
    command: process.execPath,
    args: [entry],
    env: { ...env, PORT: String(port), INTERNAL_PORT: String(internalPort) },
    logFile,
  });
  await eventually(
    async () => {
      const { status } = await fetch(`http://127.0.0.1:${String(internalPort)}/health/ready`);
      if (status !== 200) throw new Error(`the gateway is not ready:\n${child.logTail()}`);
    },
    { withinMs: 30_000, everyMs: 100 },
  );
  return { url: `http://127.0.0.1:${String(port)}`, child };
}

/** Many orders, so that all partitions are written to. */
function bodiesOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) =>
    JSON.stringify([
      {
        recipeId: `2-vBYtsQB2nd${String(index)}`,
        orderNumber: String(100_000 + index),
        orderId: String(6_182_665_000_000 + index),
        itemId: String(13_000_000 + index),
        itemQuantity: 1 + (index % 5),
      },
    ]),
  );
}

async function load({ url }: Gateway, key: string, seconds: number): Promise<Load> {
  const options = JSON.stringify({ url, key, connections: CONNECTIONS, seconds, bodies: bodiesOf(200) });
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', LOAD, options], {
    cwd: workspaceRoot(),
    maxBuffer: 16 * 1024 * 1024,
  });
  return Load.parse(JSON.parse(stdout));
}
