import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { DataSource } from 'typeorm';

import { connectDataSource, inTransaction, query, search } from '../src/index.js';

import { aDataSource, aDatabase, quiet } from './support.js';
import type { TestDatabase } from './support.js';

const FIND = 'SELECT b.* FROM unnest($1::int[]) AS k (id) JOIN loom.bobbins b USING (id)';

interface Prepared {
  readonly name: string;
  readonly generic: number;
  readonly custom: number;
}

let database: TestDatabase;
/** One connection, so that each statement meets what the one before has prepared. */
let single: DataSource;

beforeAll(async () => {
  database = await aDatabase();
});
afterAll(() => database.close());

beforeEach(async () => {
  await query(
    database.dataSource,
    // No ANALYZE on its own: it would renew the plans as well.
    'CREATE TABLE loom.bobbins (id integer PRIMARY KEY, yarn text NOT NULL) WITH (autovacuum_enabled = off)',
  );
  single = aDataSource(database.url, 1);
  await connectDataSource(single, { logger: quiet });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await single.destroy();
  await query(database.dataSource, 'DROP TABLE loom.bobbins');
});

async function prepared(text: string): Promise<Prepared[]> {
  return await query<Prepared>(
    single,
    `SELECT name, generic_plans::int AS generic, custom_plans::int AS custom
     FROM pg_prepared_statements WHERE statement = $1`,
    [text],
  );
}

async function find(ids: readonly number[]): Promise<unknown[]> {
  return await query(single, FIND, [ids]);
}

async function wind(count: number): Promise<void> {
  await query(
    single,
    `INSERT INTO loom.bobbins SELECT n, 'wool' FROM generate_series(1, ${String(count)}) AS s (n)`,
  );
}

describe('a statement with parameters', () => {
  it('is planned once for all of its parameters', async () => {
    await wind(3);

    expect(await find([1])).toEqual([{ id: 1, yarn: 'wool' }]);
    expect(await find([1, 2, 3])).toHaveLength(3);
    expect(await find([])).toEqual([]);

    expect(await prepared(FIND)).toEqual([{ name: expect.any(String), generic: 3, custom: 0 }]);
  });

  it('is planned for its parameters where somebody searches', async () => {
    await wind(3);

    expect(await search(single, FIND, [[1]])).toEqual([{ id: 1, yarn: 'wool' }]);
    await find([2]);

    expect(await prepared(FIND)).toEqual([{ name: expect.any(String), generic: 1, custom: 1 }]);
  });

  it('is prepared once when many are sent at the same time', async () => {
    await wind(20);

    const found = await inTransaction(single, (tx) =>
      Promise.all(Array.from({ length: 20 }, (_, n) => tx.query(FIND, [[n + 1]]))),
    );

    expect(found.flat()).toHaveLength(20);
    expect(await prepared(FIND)).toHaveLength(1);
  });

  it.each([
    ['after two seconds where it is in use', 2_001, 90, 10],
    ['after half a minute where it is not', 30_001, 0, 1],
  ])('gets a plan for the table as it has become, %s', async (_, laterMs, usesBefore, usesAfter) => {
    await find([1]);
    const [statement] = await prepared(FIND);
    const plan = async (): Promise<string> =>
      JSON.stringify(await query(single, `EXPLAIN EXECUTE ${statement?.name ?? ''} ('{1}')`));
    await wind(50_000);
    expect(await plan()).toContain('Seq Scan on bobbins');

    const later = performance.now() + laterMs;
    jest.spyOn(performance, 'now').mockReturnValue(later);
    for (let use = 0; use < usesBefore; use += 1) await find([1]);
    expect(await plan()).toContain('Seq Scan on bobbins');
    for (let use = 0; use < usesAfter; use += 1) await find([1]);

    expect(await plan()).toContain('Index Scan');
  });

  it('works again at the next try when a migration has changed what it returns', async () => {
    await wind(1);
    await find([1]);
    await query(database.dataSource, `ALTER TABLE loom.bobbins ADD COLUMN length_m integer DEFAULT 7`);

    await expect(find([1])).rejects.toMatchObject({ fault: 'transient', sqlState: '0A000' });

    expect(await find([1])).toEqual([{ id: 1, yarn: 'wool', length_m: 7 }]);
  });

  it('that the data makes fail leaves the statement as it was', async () => {
    await wind(1);
    const insert = 'INSERT INTO loom.bobbins VALUES ($1, $2)';

    await expect(query(single, insert, [1, 'silk'])).rejects.toMatchObject({ fault: 'poison' });
    await query(single, insert, [2, 'silk']);

    expect(await find([2])).toEqual([{ id: 2, yarn: 'silk' }]);
  });
});
