import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '@heddle/testing';

import { DatabaseError, execute, faultOf, inTransaction, query, queryWithin } from '../src/index.js';
import { poolOf } from '../src/lib/data-source.js';

import { aDatabase } from './support.js';
import type { TestDatabase } from './support.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await aDatabase();
});
afterAll(() => database.close());

async function rejectionOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function colours(): Promise<string[]> {
  const rows = await query<{ colour: string }>(
    database.dataSource,
    'SELECT colour FROM loom.threads ORDER BY id',
  );
  return rows.map(({ colour }) => colour);
}

/** Every connection that was taken is back, or gone. */
async function expectNothingTaken(): Promise<void> {
  await eventually(
    () => {
      const { totalCount, idleCount, waitingCount } = poolOf(database.dataSource);
      expect({ taken: totalCount - idleCount, waitingCount }).toEqual({ taken: 0, waitingCount: 0 });
    },
    { withinMs: 5_000 },
  );
}

async function terminate(pid: number): Promise<void> {
  await query(database.dataSource, 'SELECT pg_terminate_backend($1, 5000)', [pid]);
}

describe('inTransaction', () => {
  it('commits what the work did', async () => {
    await inTransaction(database.dataSource, async (tx) => {
      expect(await tx.execute(`INSERT INTO loom.threads VALUES (1, 'red'), (2, 'blue')`)).toBe(2);
    });
    expect(await colours()).toEqual(['red', 'blue']);
    await expectNothingTaken();
  });

  it('leaves nothing behind when the work throws', async () => {
    const fault = new RangeError('of our own');
    const work = inTransaction(database.dataSource, async (tx) => {
      await tx.execute(`INSERT INTO loom.threads VALUES (3, 'green')`);
      throw fault;
    });
    expect(await rejectionOf(work)).toBe(fault);
    expect(await colours()).toEqual(['red', 'blue']);
    await expectNothingTaken();
  });

  it('commits statements that nobody waited for, in the order in which they were sent', async () => {
    const last = await inTransaction(database.dataSource, async (tx) => {
      tx.post(`INSERT INTO loom.threads VALUES (11, 'lime')`);
      tx.post(`UPDATE loom.threads SET colour = 'teal' WHERE id = 11`);
      const [, seen] = await Promise.all([
        tx.execute(`DELETE FROM loom.threads WHERE colour = 'lime'`),
        tx.query<{ colour: string }>(`SELECT colour FROM loom.threads WHERE id = 11`),
      ]);
      tx.post(`DELETE FROM loom.threads WHERE id = 11`);
      return seen[0]?.colour;
    });
    expect(last).toBe('teal');
    expect(await colours()).toEqual(['red', 'blue']);
    await expectNothingTaken();
  });

  it('rejects with the fault of a statement that nobody waited for, not with what that made of later ones', async () => {
    const silent = inTransaction(database.dataSource, (tx) => {
      tx.post(`INSERT INTO loom.threads VALUES (12, 'none')`);
      tx.post(`INSERT INTO loom.threads VALUES (13, 'pink')`);
    });
    expect(await rejectionOf(silent)).toMatchObject({ sqlState: '23514', fault: 'poison' });
    const answered = inTransaction(database.dataSource, async (tx) => {
      tx.post(`INSERT INTO loom.threads VALUES (12, 'none')`);
      await tx.query('SELECT colour FROM loom.threads');
    });
    expect(await rejectionOf(answered)).toMatchObject({ sqlState: '23514', fault: 'poison' });
    expect(await colours()).toEqual(['red', 'blue']);
    await expectNothingTaken();
  });

  it('does not pretend to commit after a statement failed that nobody looked at', async () => {
    const work = inTransaction(database.dataSource, async (tx) => {
      await tx.execute(`INSERT INTO loom.threads VALUES (4, 'black')`);
      await rejectionOf(tx.execute(`INSERT INTO loom.threads VALUES (5, 'none')`));
    });
    expect(await rejectionOf(work)).toBeInstanceOf(DatabaseError);
    expect(await colours()).toEqual(['red', 'blue']);
    await expectNothingTaken();
  });

  it('says which constraint was broken, and not by what', async () => {
    const error = await rejectionOf(
      inTransaction(database.dataSource, (tx) =>
        tx.execute(`INSERT INTO loom.threads VALUES ($1, $2)`, [1, 'secret']),
      ),
    );
    expect(faultOf(error)).toBe('poison');
    expect(error).toMatchObject({ sqlState: '23505', constraint: 'threads_pkey' });
    expect(String(error)).not.toContain('secret');
  });

  it('refuses a statement after its end, which would run in somebody else’s transaction', async () => {
    const tx = await inTransaction(database.dataSource, (open) => Promise.resolve(open));
    await expect(tx.query('SELECT 1')).rejects.toThrow('after its end');
  });

  it.each([
    ['between two statements', (): Promise<void> => Promise.resolve()],
    [
      'before it is committed',
      (): Promise<void> => Promise.reject(new RangeError('skip the next statement')),
    ],
  ])('survives a connection that dies %s', async (_when, then) => {
    const error = await rejectionOf(
      inTransaction(database.dataSource, async (tx) => {
        const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await terminate(row?.pid ?? 0);
        await then();
        await tx.query('SELECT 1');
      }),
    );
    expect([error instanceof RangeError || faultOf(error) === 'transient', error]).toEqual([true, error]);
    await expectNothingTaken();
    expect(await query(database.dataSource, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('survives a connection that dies during a statement', async () => {
    const error = await rejectionOf(
      inTransaction(database.dataSource, async (tx) => {
        const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await Promise.all([tx.query('SELECT pg_sleep(10)'), terminate(row?.pid ?? 0)]);
      }),
    );
    expect(faultOf(error)).toBe('transient');
    await expectNothingTaken();
  });

  it('survives connections that die while they are idle', async () => {
    await Promise.all(Array.from({ length: 4 }, () => query(database.dataSource, 'SELECT pg_sleep(0.05)')));
    await execute(
      database.dataSource,
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await eventually(
      async () => expect(await query(database.dataSource, 'SELECT 1 AS one')).toEqual([{ one: 1 }]),
      {
        withinMs: 5_000,
      },
    );
  });

  it('closes a connection whose statement got no answer in time, whoever asked', async () => {
    const client = await poolOf(database.dataSource).connect();
    client.on('error', () => undefined);
    const asked = client.query({ text: 'SELECT pg_sleep(5)', query_timeout: 50 } as { text: string });
    await expect(asked).rejects.toThrow('Query read timeout');
    await expect(client.query('SELECT 1')).rejects.toThrow();
    client.release();
    await expectNothingTaken();
  });

  it('gives up a row that somebody holds for too long, as a fault that passes', async () => {
    const error = await rejectionOf(
      inTransaction(database.dataSource, async (tx) => {
        await tx.query('SELECT * FROM loom.threads WHERE id = 1 FOR UPDATE');
        await inTransaction(database.dataSource, async (other) => {
          await other.query(`SET LOCAL lock_timeout = 50`);
          await other.query('SELECT * FROM loom.threads WHERE id = 1 FOR UPDATE');
        });
      }),
    );
    expect(error).toMatchObject({ sqlState: '55P03', fault: 'transient' });
    await expectNothingTaken();
  });

  it('bounds what a connection may cost: statements, locks, idle transactions, in UTC', async () => {
    const names = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'TimeZone'];
    const settings = await query<{ name: string; setting: string }>(
      database.dataSource,
      'SELECT name, setting FROM pg_settings WHERE name = ANY($1)',
      [names],
    );
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      statement_timeout: '15000',
      lock_timeout: '5000',
      idle_in_transaction_session_timeout: '15000',
      TimeZone: 'UTC',
    });
  });

  it('gives up a statement that may only take so long, and leaves its connection as it was', async () => {
    const { dataSource } = database;
    expect(await queryWithin(dataSource, 50, 'SELECT pg_sleep(5)')).toBeUndefined();
    expect(await queryWithin(dataSource, 5_000, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const fault = await rejectionOf(queryWithin(dataSource, 5_000, 'SELECT nothing'));
    expect(fault).toMatchObject({ sqlState: '42703' });
    expect(await query(dataSource, 'SHOW statement_timeout')).toEqual([{ statement_timeout: '15s' }]);
    await expectNothingTaken();
  });

  it('makes a caller wait for a connection, and not for ever', async () => {
    const held = Array.from({ length: 4 }, () =>
      inTransaction(database.dataSource, (tx) => tx.query('SELECT pg_sleep(6)')),
    );
    const error = await rejectionOf(query(database.dataSource, 'SELECT 1'));
    expect(faultOf(error)).toBe('transient');
    expect(String(error)).toContain('connecting to PostgreSQL');
    await Promise.all(held);
  }, 15_000);
});
