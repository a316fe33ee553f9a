import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';
import type { DataSource } from 'typeorm';

import {
  connectDataSource,
  createDataSource,
  inTransaction,
  migration,
  query,
  runMigrations,
  schemaIsCurrent,
} from '../src/index.js';
import type { MigrationClass } from '../src/index.js';

import { quiet } from './support.js';

const first = migration(
  'CreateWarp1763700000000',
  'CREATE TABLE warp.ends (id integer); CREATE TABLE warp.knots (id integer)',
);
const second = migration('AddColour1763700000001', 'ALTER TABLE warp.ends ADD COLUMN colour text');
const broken = migration(
  'Broken1763700000002',
  'CREATE TABLE warp.picks (id integer); SELECT * FROM nowhere',
);

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
});
afterAll(() => database.drop());

function aSource(...migrations: MigrationClass[]): DataSource {
  return createDataSource({
    url: database.url,
    poolSize: 2,
    applicationName: 'warp',
    schema: 'warp',
    migrations,
    logger: quiet,
  });
}

async function stateOf(...migrations: MigrationClass[]): Promise<string | undefined> {
  const source = aSource(...migrations);
  await connectDataSource(source, { logger: quiet });
  try {
    return await schemaIsCurrent(source);
  } finally {
    await source.destroy();
  }
}

describe('migrations', () => {
  it('are missed by a service that starts before them', async () => {
    expect(await stateOf(first)).toBe('the schema warp is missing');
  });

  it('run once, though several processes start them at the same time', async () => {
    await Promise.all(Array.from({ length: 4 }, () => runMigrations(aSource(first))));
    expect(await stateOf(first)).toBeUndefined();
    await runMigrations(aSource(first));
    expect(await stateOf(first)).toBeUndefined();
  });

  it('are named where a newer service waits for them', async () => {
    expect(await stateOf(first, second)).toBe('migrations are missing in warp: AddColour1763700000001');
    await runMigrations(aSource(first, second));
    expect(await stateOf(first, second)).toBeUndefined();
  });

  it('of a newer service do not disturb an older one', async () => {
    expect(await stateOf(first)).toBeUndefined();
  });

  it('leave nothing of one that fails, and say which schema it was', async () => {
    await expect(runMigrations(aSource(first, second, broken))).rejects.toThrow(
      'migrating the schema warp: SQLSTATE 42P01',
    );
    const source = aSource(first, second);
    await connectDataSource(source, { logger: quiet });
    const tables = await query(source, `SELECT 1 FROM information_schema.tables WHERE table_name = 'picks'`);
    expect(tables).toEqual([]);
    expect(await schemaIsCurrent(source)).toBeUndefined();
    await source.destroy();
  });

  it('may take longer than a statement of a service', async () => {
    const slow = migration(
      'Slow1763700000003',
      `SELECT set_config('x.t', current_setting('statement_timeout'), false);
      CREATE TABLE warp.limits AS SELECT current_setting('statement_timeout') AS value`,
    );
    await runMigrations(aSource(first, second, slow));
    const source = aSource(first);
    await connectDataSource(source, { logger: quiet });
    expect(await inTransaction(source, (tx) => tx.query('SELECT value FROM warp.limits'))).toEqual([
      { value: '0' },
    ]);
    await source.destroy();
  });
});
