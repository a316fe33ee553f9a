import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { inTransaction, movePosition, resetPositions } from '../src/index.js';
import type { Tx } from '../src/index.js';

import { SCHEMA, aDatabase, deferred } from './support.js';
import type { TestDatabase } from './support.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await aDatabase();
});
afterAll(() => database.close());

function chunk(topic: string, firstOffset: number, nextOffset: number) {
  return { topic, partition: 3, firstOffset: String(firstOffset), nextOffset: String(nextOffset) };
}

async function move(
  topic: string,
  firstOffset: number,
  nextOffset: number,
  then?: (tx: Tx) => Promise<void>,
) {
  return await inTransaction(database.dataSource, async (tx) => {
    const consumedBefore = await movePosition(tx, SCHEMA, chunk(topic, firstOffset, nextOffset));
    await then?.(tx);
    return consumedBefore;
  });
}

describe('movePosition', () => {
  it('skips nothing of the first chunk, wherever it begins', async () => {
    expect(await move('first', 4_000, 4_500)).toBe(0n);
  });

  it('says where the last chunk ended', async () => {
    await move('next', 0, 500);
    expect(await move('next', 500, 900)).toBe(500n);
  });

  it('lets a repeated chunk skip all of itself, and a longer one its beginning', async () => {
    await move('repeated', 0, 500);
    expect(await move('repeated', 0, 500)).toBe(500n);
    expect(await move('repeated', 200, 700)).toBe(500n);
    expect(await move('repeated', 700, 701)).toBe(700n);
  });

  it('does not go back for a member that is late', async () => {
    await move('late', 0, 900);
    expect(await move('late', 100, 300)).toBe(900n);
    expect(await move('late', 900, 901)).toBe(900n);
  });

  it('forgets a move whose transaction is rolled back', async () => {
    await move('rolled-back', 0, 100);
    const failing = move('rolled-back', 100, 200, () => Promise.reject(new RangeError('of our own')));
    await expect(failing).rejects.toThrow(RangeError);
    expect(await move('rolled-back', 100, 200)).toBe(100n);
  });

  it('makes two members who both believe to own the partition take turns', async () => {
    for (const topic of ['turns-new', 'turns-known']) {
      if (topic === 'turns-known') await move(topic, 0, 1);
      const locked = deferred();
      const released = deferred();
      const first = move(topic, 1, 100, async () => {
        locked.resolve();
        await released.promise;
      });
      await locked.promise;
      let secondDone = false;
      const second = move(topic, 1, 100).finally(() => {
        secondDone = true;
      });
      await inTransaction(database.dataSource, (tx) => tx.query('SELECT pg_sleep(0.1)'));
      expect(secondDone).toBe(false);
      released.resolve();
      await first;
      expect(await second).toBe(100n);
    }
  });

  it('holds offsets beyond what a number can', async () => {
    const far = 2n ** 62n;
    await inTransaction(database.dataSource, async (tx) => {
      const position = { topic: 'far', partition: 0, firstOffset: '0', nextOffset: String(far) };
      await movePosition(tx, SCHEMA, position);
      expect(await movePosition(tx, SCHEMA, position)).toBe(far);
    });
  });
});

describe('resetPositions', () => {
  it('lets a topic be read again, and only that one', async () => {
    await move('again', 0, 500);
    await move('untouched', 0, 500);
    expect(await resetPositions(database.dataSource, SCHEMA, 'again')).toBe(1);
    expect(await move('again', 0, 500)).toBe(0n);
    expect(await move('untouched', 0, 500)).toBe(500n);
  });
});
