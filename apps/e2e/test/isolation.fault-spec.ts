import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  Heddle,
  eventually,
  startKafka,
  startPostgres,
  startSftpServer,
  temporaryFolder,
} from '@heddle/testing';
import type { KafkaCluster, LocalPostgres, SftpFaults, SftpServer } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { OrderDesk, filesOfAll, sortedFolder } from '../src/order-desk.js';
import type { OrderLine } from '../src/order-desk.js';

const ORDERS = 40;
const USER = { username: 'factory', password: 'isolation' } as const;
/** Each hangs at another point of the conversation. */
const HANGS: readonly SftpFaults[] = [
  { hangOn: ['open'] },
  { hangOn: ['open'] },
  { hangOn: ['write'] },
  { hangOn: ['login'] },
  { hangOn: ['connect'] },
];

describe('ten integrations of which five hang', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let heddle: Heddle;
  let desk: OrderDesk;
  let healthy: readonly SftpServer[];
  let hanging: readonly SftpServer[];

  beforeAll(async () => {
    const root = await temporaryFolder('factories');
    const start = (kind: string, index: number, faults: SftpFaults): Promise<SftpServer> =>
      startSftpServer({ directory: join(root, `${kind}${String(index)}`), users: [USER], faults });
    healthy = await Promise.all(HANGS.map((_, index) => start('healthy', index, {})));
    hanging = await Promise.all(HANGS.map((faults, index) => start('hanging', index, faults)));
    [kafka, postgres] = await Promise.all([startKafka(), startPostgres()]);
    heddle = await Heddle.start({
      kafkaBrokers: kafka.brokers,
      databaseUrl: postgres.url,
      allowedAddresses: [...healthy, ...hanging].map(({ port }) => `127.0.0.1/32:${String(port)}`),
      env: {
        // No time-out helps the healthy ones: the hanging ones hang until they are mended.
        CONNECT_TIMEOUT_MS: '120000',
        SILENCE_TIMEOUT_MS: '120000',
        // Less than the windows of the hanging ones together.
        ATTEMPT_POOL: '16',
        RETRY_DELAYS_MS: '1000,1000,1000,1000',
        BREAKER_FIRST_WAIT_MS: '500',
        BREAKER_MAX_WAIT_MS: '2000',
      },
    });
    desk = new OrderDesk(heddle);
    for (const { port, hostKeySha256 } of [...hanging, ...healthy]) {
      await heddle.integrate(
        { description: `Factory at ${String(port)}`, include: { ticket: false } },
        { port, username: USER.username, 'password-secret': USER.password, 'host-key-sha256': hostKeySha256 },
      );
    }
  }, 120_000);
  afterAll(async () => {
    await heddle.stop();
    await Promise.all([...healthy, ...hanging].map((server) => server.close()));
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  const folders = (servers: readonly SftpServer[]): Promise<readonly (readonly string[])[]> =>
    Promise.all(servers.map(({ directory }) => sortedFolder(directory)));

  it('serves the other five at once, and the five when they are mended', async () => {
    const recipeId = '1-ISOLATION';
    await desk.saveRecipe(recipeId);
    const lines = Array.from({ length: ORDERS }, (_, index): OrderLine => ({
      orderNumber: `I${String(index)}`,
      recipeId,
    }));
    const all = filesOfAll(lines);

    const startedAt = performance.now();
    for (const line of lines) await desk.post(line);
    await eventually(async () => expect(await folders(healthy)).toEqual(healthy.map(() => all)), {
      withinMs: 30_000,
      everyMs: 100,
    });
    const servedMs = performance.now() - startedAt;
    // They were called, still hang, and none has got a file.
    expect(hanging.filter(({ connections }) => connections === 0)).toEqual([]);
    const early = (await folders(hanging)).flat().filter((name) => !name.endsWith('.part'));
    expect(early).toEqual([]);

    // As a restart does: what hangs is cut.
    for (const server of hanging) {
      server.faults = {};
      server.cutConnections();
    }
    const mendedAt = performance.now();
    await eventually(async () => expect(await folders(hanging)).toEqual(hanging.map(() => all)), {
      withinMs: 90_000,
      everyMs: 250,
    });
    process.stdout.write(
      `the five healthy ones had all after ${servedMs.toFixed(0)} ms, ` +
        `the five mended ones ${(performance.now() - mendedAt).toFixed(0)} ms after their mending\n`,
    );
    expect(await folders(healthy)).toEqual(healthy.map(() => all));
    expect(await new HubData(heddle).deadLetters()).toEqual([]);
  }, 180_000);
});
