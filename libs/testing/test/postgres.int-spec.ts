import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { createDatabase, eventually, startPostgres, temporaryFolder } from '@heddle/testing';
import type { LocalPostgres } from '@heddle/testing';

const TIMEOUT_MS = 60_000;

let dir: string;
let postgres: LocalPostgres;

beforeAll(async () => {
  dir = await temporaryFolder('kept-postgres');
  postgres = await startPostgres({ dir });
}, TIMEOUT_MS);

afterAll(async () => {
  await postgres.close();
  rmSync(dir, { recursive: true, force: true });
}, TIMEOUT_MS);

async function query(sql: string, url = postgres.url): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('the local PostgreSQL', () => {
  it(
    'keeps what was committed over a SIGKILL',
    async () => {
      await query('CREATE TABLE kept (id int)');
      const open = new Client({ connectionString: postgres.url });
      const lost = new Promise((done) => open.on('error', done));
      await open.connect();
      await open.query('INSERT INTO kept VALUES (1)');
      await postgres.kill();
      await lost;
      await expect(query('SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
      await postgres.start();
      expect(await query('SELECT id FROM kept')).toEqual([{ id: 1 }]);
    },
    TIMEOUT_MS,
  );

  it(
    'starts although postmaster.pid names a process that lives',
    async () => {
      const { dataFolder } = JSON.parse(readFileSync(join(dir, 'server.json'), 'utf8')) as {
        dataFolder: string;
      };
      const pidFile = join(dataFolder, 'postmaster.pid');
      // PostgreSQL heeds processes of its own user only.
      const { uid, gid } = statSync(dataFolder);
      const other = spawn('sleep', ['600'], { uid, gid });
      await postgres.kill();
      const left = readFileSync(pidFile, 'utf8').split('\n');
      writeFileSync(pidFile, [String(other.pid), ...left.slice(1)].join('\n'));
      try {
        await postgres.start();
      } finally {
        other.kill();
      }
      expect(await query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    },
    TIMEOUT_MS,
  );

  it(
    'answers nobody while it is paused, on open connections neither',
    async () => {
      const client = new Client({ connectionString: postgres.url });
      await client.connect();
      postgres.pause();
      let answered = false;
      const answer = client.query('SELECT 2 AS two').then(({ rows }) => {
        answered = true;
        return rows as unknown[];
      });
      await expect(query('SELECT 1')).rejects.toThrow(/timeout/);
      expect(answered).toBe(false);
      postgres.resume();
      expect(await answer).toEqual([{ two: 2 }]);
      await client.end();
    },
    TIMEOUT_MS,
  );

  it(
    'says when it ends, and comes back on the same port',
    async () => {
      const exits: unknown[] = [];
      postgres.onExit((exit) => exits.push(exit));
      const { url } = postgres;
      await postgres.restart();
      expect(exits).toEqual([{ code: 0, signal: null }]);
      expect(await query('SELECT 1 AS one', url)).toEqual([{ one: 1 }]);
      expect(await query('SHOW fsync')).toEqual([{ fsync: 'on' }]);
    },
    TIMEOUT_MS,
  );

  it(
    'serves one owner at a time, and keeps data, port and password for the next',
    async () => {
      await expect(startPostgres({ dir })).rejects.toThrow(/already running/);
      await query('CREATE TABLE over_restarts (id int)');
      const before = postgres.url;
      await postgres.close();
      postgres = await startPostgres({ dir });
      expect(postgres.url).toBe(before);
      expect(await query('SELECT * FROM over_restarts')).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'leaves nothing behind when its folder is a temporary one',
    async () => {
      const other = await startPostgres();
      const database = await createDatabase(other.url);
      expect(await query('SELECT 1 AS one', database.url)).toEqual([{ one: 1 }]);
      await other.close();
      expect(existsSync(other.dir)).toBe(false);
      await eventually(() => expect(query('SELECT 1', other.url)).rejects.toThrow(/ECONNREFUSED/), {
        withinMs: 2_000,
      });
    },
    TIMEOUT_MS,
  );

  it(
    'shows the end of its log when it cannot start',
    async () => {
      await expect(startPostgres({ settings: { shared_buffers: 'plenty' } })).rejects.toThrow(
        /shared_buffers/,
      );
    },
    TIMEOUT_MS,
  );
});
