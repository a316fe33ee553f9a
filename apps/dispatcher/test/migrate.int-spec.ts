import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { connectDataSource, createDataSource, query, schemaIsCurrent } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';
import { createDatabase, eventually, workspaceRoot } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { dispatcherDataSource } from '../src/schema/data-source.js';

const run = promisify(execFile);
const logger = createLogger({ service: 'test', level: 'error' });
const WITHIN = { withinMs: 20_000 };

jest.setTimeout(60_000);

describe('two processes that migrate at once', () => {
  let database: TestDatabase;
  /** Looks on, and stands in the way. */
  let beside: DataSource;
  let schema: DataSource;

  beforeAll(async () => {
    database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
    const { url } = database;
    beside = createDataSource({
      url,
      poolSize: 2,
      applicationName: 'test',
      schema: 'public',
      migrations: [],
    });
    schema = dispatcherDataSource({ DATABASE_URL: url, DATABASE_POOL_SIZE: 2 }, logger);
    await Promise.all([connectDataSource(beside, { logger }), connectDataSource(schema, { logger })]);
  });
  afterAll(async () => {
    await Promise.all([beside.destroy(), schema.destroy()]);
    await database.drop();
  });

  const migrate = async (): Promise<string> => {
    const entry = join(workspaceRoot(), 'dist', 'apps', 'dispatcher', 'migrate.js');
    const { stdout } = await run(process.execPath, [entry], { env: { DATABASE_URL: database.url } });
    return stdout;
  };
  const locks = async (): Promise<readonly boolean[]> => {
    const rows = await query<{ granted: boolean }>(
      beside,
      `SELECT granted FROM pg_locks
       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ORDER BY granted`,
    );
    return rows.map(({ granted }) => granted);
  };

  it('take turns, end well, and apply each migration once', async () => {
    // Whoever comes first makes the schema, and cannot as long as somebody else is about to.
    const runner = beside.createQueryRunner();
    await runner.startTransaction();
    await runner.query('CREATE SCHEMA dispatcher');
    const both = Promise.allSettled([migrate(), migrate()]);

    await eventually(async () => expect(await locks()).toEqual([false, true]), WITHIN);
    await runner.rollbackTransaction();
    await runner.release();

    expect(await both).toMatchObject([
      { status: 'fulfilled', value: expect.stringContaining('schema.current') },
      { status: 'fulfilled', value: expect.stringContaining('schema.current') },
    ]);
    expect(await locks()).toEqual([]);
    expect(await schemaIsCurrent(schema)).toBeUndefined();
    const applied = await query<{ name: string }>(
      beside,
      'SELECT name FROM dispatcher.migrations ORDER BY id',
    );
    expect(applied.map(({ name }) => name)).toEqual(schema.migrations.map(({ name }) => name));
  });
});
