import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { DESTINATION_KINDS, IntegrationPage, KeyPage } from '@heddle/contracts';
import {
  HubClient,
  createDatabase,
  descendantsOf,
  eventually,
  freePort,
  identityOf,
  isRunning,
  temporaryFolder,
  uniqueTopicPrefix,
  workspaceRoot,
} from '@heddle/testing';
import type { ProcessIdentity, TestDatabase } from '@heddle/testing';

import { readLocalFile } from './local-file.js';
import type { LocalFile } from './local-file.js';
import { StartCommand } from './start-command.js';

const run = promisify(execFile);
const UP = { withinMs: 90_000, everyMs: 100 } as const;
const WITHIN = { withinMs: 30_000, everyMs: 50 } as const;
const FAILED = 1;

describe('npm start', () => {
  let directory: string;
  let logs: string;
  let port: number;
  let starts = 0;
  const running: StartCommand[] = [];

  beforeAll(async () => {
    [directory, logs, port] = [
      await temporaryFolder('start'),
      await temporaryFolder('logs'),
      await freePort(),
    ];
  });
  afterAll(async () => {
    await Promise.all(running.map((command) => command.interrupt()));
  }, 60_000);

  async function start(env: Readonly<Record<string, string>> = {}): Promise<StartCommand> {
    starts += 1;
    const command = await StartCommand.run({
      root: workspaceRoot(),
      logFile: join(logs, `${String(starts)}.log`),
      env: { PORT: String(port), HEDDLE_DIRECTORY: directory, ...env },
    });
    running.push(command);
    return command;
  }

  /** @returns what it says about itself, once it has shown its screen. */
  async function up(command: StartCommand, at = directory): Promise<LocalFile> {
    await eventually(async () => {
      const output = await command.output();
      if (!command.isRunning) throw new Error(`it ended: ${output}`);
      expect(output).toContain('Ctrl-C stops everything.');
    }, UP);
    return readLocalFile(at);
  }

  /** What `npm run <name>` runs, once it is built. */
  async function tool(name: string, words: readonly string[] = []): Promise<string> {
    const { stdout } = await run(
      process.execPath,
      [join(workspaceRoot(), 'dist', 'tools', name, 'main.js'), ...words],
      { env: { ...process.env, HEDDLE_DIRECTORY: directory } },
    );
    return stdout;
  }

  /** Runs the shown request in a shell, as a person does, and waits for the shown files. */
  async function followTheScreen(command: StartCommand): Promise<void> {
    const output = await command.output();
    const curl = /^ *(curl [^\n]*\\\n[^\n]*)$/m.exec(output)?.[1] ?? 'false';
    const files = [...output.matchAll(/^ *(\/\S+_R_\S+)$/gm)].map(([, path]) => path ?? '');
    expect(files).toHaveLength(4);

    expect((await run('sh', ['-c', curl])).stdout).toBe('{"accepted":1}');

    await eventually(() => Promise.all(files.map((path) => stat(path))), WITHIN);
  }

  /** Of the command that wrote the facts, with itself. */
  function processesOf({ pid }: LocalFile): readonly ProcessIdentity[] {
    return [pid, ...descendantsOf(pid)].flatMap((each) => identityOf(each) ?? []);
  }

  function listen(on: number): Promise<Server> {
    const server = createServer();
    return new Promise((resolve) => server.listen(on, '127.0.0.1', () => resolve(server)));
  }

  const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

  describe('on a machine that has nothing', () => {
    let command: StartCommand;
    let local: LocalFile;
    beforeAll(async () => {
      command = await start();
      local = await up(command);
    }, 120_000);

    it('writes what it is to a file for its owner alone', async () => {
      expect((await stat(join(directory, 'local.json'))).mode & 0o777).toBe(0o600);
      expect(local).toMatchObject({ baseUrl: `http://127.0.0.1:${String(port)}`, tenant: 'demo' });
      expect(local.services.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['ingest-gateway', 'association-store', 'dispatcher', 'outbound-sftp']),
      );
      for (const { pid, metricsUrl } of local.services) {
        expect(identityOf(pid)).toBeDefined();
        expect((await fetch(metricsUrl)).status).toBe(200);
      }
    });

    it('shows a request that works, and where its files appear', async () => {
      await followTheScreen(command);
    }, 60_000);

    it('has the other commands find it', async () => {
      expect(await tool('demo')).toContain('All 8 orders were delivered');
      expect(await tool('dead-letters', ['list'])).toBe('nothing was set aside\n');
      expect(await tool('outbox', ['list', 'dispatcher'])).toBe('nothing was refused\n');
      await expect(
        tool('reset-group', ['dispatcher', 'order.submitted', '--at=2026-01-01T00:00:00Z']),
      ).rejects.toThrow(/no running instances/);
      const reading = run(
        process.execPath,
        [join(workspaceRoot(), 'dist/tools/tail/main.js'), 'order.submitted', '--from-beginning'],
        { env: { ...process.env, HEDDLE_DIRECTORY: directory } },
      );
      let seen = '';
      reading.child.stdout?.on('data', (chunk) => (seen += String(chunk)));
      await eventually(() => expect(seen).toMatch(/order\.submitted .* orderNumber=1001 /), WITHIN);
      reading.child.kill('SIGINT');
      await reading;
    }, 90_000);

    it('refuses to run twice on the same data, and names what runs', async () => {
      const second = await start({ PORT: String(await freePort()) });

      expect(await second.ended()).toBe(FAILED);
      expect(await second.output()).toContain(
        `Heddle already runs here (process ${String(local.pid)}, ${local.baseUrl})`,
      );
    }, 30_000);

    it('says in one sentence that its port is taken, and what to do', async () => {
      const elsewhere = await start({ HEDDLE_DIRECTORY: await temporaryFolder('other') });

      expect(await elsewhere.ended()).toBe(FAILED);
      expect(await elsewhere.output()).toContain(
        `Port ${String(port)} is in use: free it or choose another one, as in PORT=${String(port + 1)} npm start.`,
      );
    }, 30_000);

    it('starts a service again that dies, says so, and goes on delivering', async () => {
      const { pid } = local.services.find(({ name }) => name === 'association-store') ?? { pid: 0 };
      process.kill(pid, 'SIGKILL');

      await eventually(async () => {
        expect(await command.output()).toContain('association-store ended (SIGKILL): starting it again');
        const { services } = await readLocalFile(directory);
        const { pid: now } = services.find(({ name }) => name === 'association-store') ?? { pid };
        expect(now).not.toBe(pid);
      }, WITHIN);
      const line = { recipeId: 'DRIVE-001', orderNumber: 'AGAIN', itemId: '1', itemQuantity: 1 };
      await new HubClient(local.baseUrl, local.apiKey).expect('POST', '/api/v2/recipe/order', [line]);
      const file = 'AGAIN_ID_AGAIN_R_DRIVE-001_Recipe.json';
      await eventually(() => stat(join(local.sandbox.sftp.directory, file)), WITHIN);
    }, 90_000);

    it('ends with everything that it has started at Ctrl-C', async () => {
      const processes = processesOf(await readLocalFile(directory));
      // Each service, Kafka, and PostgreSQL with its own.
      expect(processes.length).toBeGreaterThan(local.services.length + 2);

      await command.interrupt();

      expect(await command.output()).toContain('everything is stopped');
      await eventually(() => expect(processes.filter(isRunning)).toEqual([]), WITHIN);
      await expect(readLocalFile(directory)).rejects.toThrow('No Heddle runs here');
    }, 60_000);

    it('keeps its keys and its one integration of each kind at the next start, whatever ports are free then', async () => {
      const taken = await listen(Number(new URL(local.databaseUrl).port));
      try {
        command = await start();
        const again = await up(command);

        expect(again).toMatchObject({ apiKey: local.apiKey, adminApiKey: local.adminApiKey });
        expect(new URL(again.databaseUrl).port).not.toBe(new URL(local.databaseUrl).port);
        const admin = new HubClient(again.baseUrl, again.adminApiKey);
        const { items } = IntegrationPage.parse(await admin.expect('GET', '/api/v2/integrations'));
        expect(new Set(items.map(({ destination }) => destination)).size).toBe(DESTINATION_KINDS.length);
        expect(items.map(({ status, version }) => `${status} ${String(version)}`)).toEqual(
          DESTINATION_KINDS.map(() => 'enabled 1'),
        );
        await followTheScreen(command);
        const { items: keys } = KeyPage.parse(await admin.expect('GET', '/api/v2/keys'));
        for (const { id, name } of keys)
          if (name === 'demo') await admin.call('DELETE', `/api/v2/keys/${id}`);
      } finally {
        await close(taken);
      }
    }, 120_000);

    it('stops with an error and leaves nothing when the embedded Kafka dies', async () => {
      const processes = processesOf(await readLocalFile(directory));
      const broker = await readFile(join(directory, 'kafka', 'data', 'broker-1', 'process.json'), 'utf8');
      process.kill((JSON.parse(broker) as { child: ProcessIdentity }).child.pid, 'SIGKILL');

      expect(await command.ended()).toBe(FAILED);
      expect(await command.output()).toMatch(/The embedded Kafka ended \(SIGKILL\) and Heddle cannot go on/);
      await eventually(() => expect(processes.filter(isRunning)).toEqual([]), WITHIN);
    }, 60_000);

    it('makes new keys where somebody has revoked those of the last start', async () => {
      command = await start();
      const again = await up(command);

      expect(again.apiKey).not.toBe(local.apiKey);
      expect(await command.output()).toContain('making new ones');
      await followTheScreen(command);
      await command.interrupt();
    }, 120_000);
  });

  describe('with a Kafka and a PostgreSQL that are there already', () => {
    let database: TestDatabase;
    beforeAll(async () => {
      database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
    });
    afterAll(() => database.drop());

    it('uses them, with the prefix that others leave to it', async () => {
      const at = await temporaryFolder('start');
      const prefix = uniqueTopicPrefix();
      const command = await start({
        HEDDLE_DIRECTORY: at,
        KAFKA_BROKERS: process.env['TEST_KAFKA_BROKERS'] ?? '',
        KAFKA_TOPIC_PREFIX: prefix,
        DATABASE_URL: database.url,
      });
      expect(await up(command, at)).toMatchObject({
        kafkaBrokers: process.env['TEST_KAFKA_BROKERS'],
        databaseUrl: database.url,
      });
      await followTheScreen(command);
      await command.interrupt();
    }, 120_000);
  });
});
