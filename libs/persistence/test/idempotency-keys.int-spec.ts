import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { IdempotencyError, IdempotencyKeys, execute, query } from '../src/index.js';
import type { Tx } from '../src/index.js';

import { SCHEMA, aDatabase, deferred } from './support.js';
import type { TestDatabase } from './support.js';

let database: TestDatabase;
let keys: IdempotencyKeys;
let next = 100;

beforeAll(async () => {
  database = await aDatabase();
  keys = new IdempotencyKeys(database.dataSource, SCHEMA);
});
afterAll(() => database.close());

/** Creates a thread and answers with its number. */
async function create(tx: Tx): Promise<{ id: number }> {
  next += 1;
  await tx.execute(`INSERT INTO loom.threads VALUES ($1, 'red')`, [next]);
  return { id: next };
}

async function threads(): Promise<number> {
  const [row] = await query<{ count: string }>(database.dataSource, 'SELECT count(*) FROM loom.threads');
  return Number(row?.count);
}

describe('an idempotency key', () => {
  it('gives the first answer again and does nothing twice', async () => {
    const before = await threads();
    const first = await keys.run('demo', 'a', 'hash', create);
    const again = await keys.run('demo', 'a', 'hash', create);
    expect(first.repeated).toBe(false);
    expect(again).toEqual({ answer: first.answer, repeated: true });
    expect(await threads()).toBe(before + 1);
  });

  it('is refused with another request', async () => {
    await keys.run('demo', 'b', 'hash', create);
    const other = keys.run('demo', 'b', 'other', create);
    await expect(other).rejects.toThrow(IdempotencyError);
    await expect(other).rejects.toMatchObject({ status: 422 });
  });

  it('belongs to its scope', async () => {
    const [demo, other] = [
      await keys.run('demo', 'c', 'hash', create),
      await keys.run('other', 'c', 'hash', create),
    ];
    expect(other.repeated).toBe(false);
    expect(other.answer).not.toEqual(demo.answer);
  });

  it('is not needed', async () => {
    const [first, second] = [
      await keys.run('demo', undefined, 'h', create),
      await keys.run('demo', undefined, 'h', create),
    ];
    expect(second.answer).not.toEqual(first.answer);
  });

  it('may be used again after a failure, of which nothing is left', async () => {
    const before = await threads();
    const failing = keys.run('demo', 'd', 'hash', async (tx) => {
      await create(tx);
      throw new RangeError('of our own');
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(await threads()).toBe(before);
    expect((await keys.run('demo', 'd', 'hash', create)).repeated).toBe(false);
  });

  it('makes the same request at the same time wait for the first one’s answer', async () => {
    const started = deferred();
    const released = deferred();
    const first = keys.run('demo', 'e', 'hash', async (tx) => {
      const answer = await create(tx);
      started.resolve();
      await released.promise;
      return answer;
    });
    await started.promise;
    const second = keys.run('demo', 'e', 'hash', create);
    await query(database.dataSource, 'SELECT pg_sleep(0.1)');
    released.resolve();
    expect(await second).toEqual({ answer: (await first).answer, repeated: true });
  });

  it('does not keep the same request waiting for ever', async () => {
    const [started, released] = [deferred(), deferred()];
    const first = keys.run('demo', 'slow', 'hash', async () => {
      started.resolve();
      await released.promise;
      return {};
    });
    await started.promise;
    await expect(keys.run('demo', 'slow', 'hash', create)).rejects.toMatchObject({ status: 409 });
    released.resolve();
    await first;
  }, 10_000);

  it('is forgotten after a day', async () => {
    const first = await keys.run('demo', 'f', 'hash', create);
    await execute(database.dataSource, `UPDATE loom.idempotency_keys SET expires_at = now() WHERE key = 'f'`);
    const later = await keys.run('demo', 'f', 'another', create);
    expect(later.repeated).toBe(false);
    expect(later.answer).not.toEqual(first.answer);
    expect(await keys.run('demo', 'f', 'another', create)).toEqual({ ...later, repeated: true });
  });

  it('is purged once it is too old, and not before', async () => {
    await keys.run('demo', 'g', 'hash', create);
    await keys.run('demo', 'h', 'hash', create);
    await execute(
      database.dataSource,
      `UPDATE loom.idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'g'`,
    );
    expect(await keys.purge()).toBe(1);
    expect((await keys.run('demo', 'h', 'hash', create)).repeated).toBe(true);
  });

  it('keeps an answer with secrets under seal', async () => {
    const reverse = (text: string): string => Array.from(text).toReversed().join('');
    const sealed = new IdempotencyKeys(database.dataSource, SCHEMA, { seal: reverse, open: reverse });
    const answer = { key: 'hdl_secret' };
    await sealed.run('demo', 's', 'hash', () => Promise.resolve(answer));
    const rows = await query<{ answer: string }>(
      database.dataSource,
      `SELECT answer FROM loom.idempotency_keys WHERE key = 's'`,
    );
    expect(rows[0]?.answer).not.toContain('hdl_secret');
    expect(await sealed.run('demo', 's', 'hash', () => Promise.resolve(answer))).toEqual({
      answer,
      repeated: true,
    });
  });
});
