import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  CursorError,
  appendAudit,
  deleteInBatches,
  execute,
  inTransaction,
  listAudit,
  query,
} from '../src/index.js';

import { SCHEMA, aDatabase } from './support.js';
import type { TestDatabase } from './support.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await aDatabase();
});
afterAll(() => database.close());

describe('the audit', () => {
  async function record(tenant: string, count: number): Promise<void> {
    await inTransaction(database.dataSource, async (tx) => {
      for (let n = 0; n < count; n += 1) {
        const details = { n };
        await appendAudit(tx, SCHEMA, {
          tenant,
          actor: 'key:1',
          action: 'thread.cut',
          subject: 'thread:1',
          details,
        });
      }
    });
  }

  it('says who did what to what, newest first, each entry once', async () => {
    await record('demo', 7);
    await record('other', 2);
    // All of one instant: only their ids tell them apart.
    await execute(
      database.dataSource,
      `UPDATE loom.audit SET at = '2031-01-01T00:00:00.123456Z' WHERE tenant = 'demo'`,
    );
    await record('demo', 3);
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await listAudit(database.dataSource, SCHEMA, { tenant: 'demo', limit: 4, cursor });
      seen.push(...page.items.map(({ details }) => details['n']));
      cursor = page.nextCursor ?? undefined;
      expect(Object.keys(page.items[0] ?? {}).toSorted()).toEqual([
        'action',
        'actor',
        'at',
        'auditId',
        'details',
        'subject',
        'tenant',
      ]);
    } while (cursor !== undefined);
    // Ids are made in order of time, so the seven of one instant come newest first too.
    expect(seen).toEqual([6, 5, 4, 3, 2, 1, 0, 2, 1, 0]);
  });

  it('shows a tenant its own entries only, whatever cursor it sends', async () => {
    const { nextCursor } = await listAudit(database.dataSource, SCHEMA, { tenant: 'demo', limit: 1 });
    const stolen = listAudit(database.dataSource, SCHEMA, {
      tenant: 'other',
      limit: 1,
      cursor: nextCursor ?? '',
    });
    await expect(stolen).rejects.toThrow(CursorError);
  });

  it('keeps nothing of an act that was rolled back', async () => {
    const work = inTransaction(database.dataSource, async (tx) => {
      await appendAudit(tx, SCHEMA, { tenant: 'third', actor: 'a', action: 'b', subject: 'c' });
      throw new RangeError('of our own');
    });
    await expect(work).rejects.toThrow(RangeError);
    expect((await listAudit(database.dataSource, SCHEMA, { tenant: 'third', limit: 1 })).items).toEqual([]);
  });
});

describe('deleteInBatches', () => {
  const purge = { table: 'loom.threads', where: 'id <= $1', batchRows: 100, pauseMs: 0 };

  it('deletes what it is told and nothing else', async () => {
    await execute(
      database.dataSource,
      `INSERT INTO loom.threads SELECT n, 'red' FROM generate_series(1, 1050) AS n`,
    );
    expect(await deleteInBatches(database.dataSource, { ...purge, params: [1_000] })).toBe(1_000);
    expect(await query(database.dataSource, 'SELECT min(id), count(*)::int FROM loom.threads')).toEqual([
      { min: 1_001, count: 50 },
    ]);
  });

  it('does not wait for rows that somebody is working on', async () => {
    const gone = await inTransaction(database.dataSource, async (tx) => {
      await tx.query('SELECT * FROM loom.threads WHERE id = 1010 FOR UPDATE');
      return await deleteInBatches(database.dataSource, { ...purge, params: [1_020] });
    });
    expect(gone).toBe(19);
    expect(await query(database.dataSource, 'SELECT id FROM loom.threads WHERE id <= 1020')).toEqual([
      { id: 1_010 },
    ]);
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new RangeError('shutting down'));
    await expect(deleteInBatches(database.dataSource, { ...purge, params: [2_000], signal })).rejects.toThrow(
      'shutting down',
    );
  });

  it('takes no table name that would need quotes', async () => {
    const injected = { ...purge, table: 'loom.threads; DROP TABLE loom.threads', params: [1] };
    await expect(deleteInBatches(database.dataSource, injected)).rejects.toThrow(TypeError);
  });
});
