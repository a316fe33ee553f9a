import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { inTransaction, movePositions, resetPositions } from '../src/index.js';
import type { Tx } from '../src/index.js';

import { SCHEMA, aDatabase, deferred } from './support.js';
import type { TestDatabase } from './support.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await aDatabase();
});
afterAll(() => database.close());

function chunk(topic: string, nextOffset: number, cluster = 'home', partition = 3) {
  return { topic, partition, nextOffset: String(nextOffset), cluster };
}

/** @returns the first offset of the chunk that counts as fresh, its end where none does. */
async function move(
  topic: string,
  firstOffset: number,
  nextOffset: number,
  { then, cluster }: { then?: (tx: Tx) => Promise<void>; cluster?: string } = {},
) {
  return await inTransaction(database.dataSource, async (tx) => {
    const isFresh = await movePositions(tx, SCHEMA, [chunk(topic, nextOffset, cluster)]);
    await then?.(tx);
    for (let offset = firstOffset; offset < nextOffset; offset += 1)
      if (isFresh({ partition: 3, offset: String(offset) })) return offset;
    return nextOffset;
  });
}

describe('movePositions', () => {
  it('skips nothing of the first chunk, wherever it begins', async () => {
    expect(await move('first', 4_000, 4_500)).toBe(4_000);
  });

  it('says where the last chunk ended', async () => {
    await move('next', 0, 500);
    expect(await move('next', 400, 900)).toBe(500);
  });

  it('lets a repeated chunk skip all of itself, and a longer one its beginning', async () => {
    await move('repeated', 0, 500);
    expect(await move('repeated', 0, 500)).toBe(500);
    expect(await move('repeated', 200, 700)).toBe(500);
    expect(await move('repeated', 600, 701)).toBe(700);
  });

  it('does not go back for a member that is late', async () => {
    await move('late', 0, 900);
    expect(await move('late', 100, 300)).toBe(300);
    expect(await move('late', 800, 901)).toBe(900);
  });

  it('forgets a move whose transaction is rolled back', async () => {
    await move('rolled-back', 0, 100);
    const failing = move('rolled-back', 100, 200, {
      then: () => Promise.reject(new RangeError('of our own')),
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(await move('rolled-back', 50, 200)).toBe(100);
  });

  it('makes two members who both believe to own the partition take turns', async () => {
    for (const topic of ['turns-new', 'turns-known']) {
      if (topic === 'turns-known') await move(topic, 0, 1);
      const locked = deferred();
      const released = deferred();
      const first = move(topic, 1, 100, {
        then: async () => {
          locked.resolve();
          await released.promise;
        },
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
      expect(await second).toBe(100);
    }
  });

  it('holds offsets beyond what a number can', async () => {
    const far = 2n ** 62n;
    await inTransaction(database.dataSource, async (tx) => {
      const position = { topic: 'far', partition: 0, nextOffset: String(far), cluster: 'home' };
      await movePositions(tx, SCHEMA, [position]);
      const isFresh = await movePositions(tx, SCHEMA, [position]);
      expect(isFresh({ partition: 0, offset: String(far - 1n) })).toBe(false);
      expect(isFresh({ partition: 0, offset: String(far) })).toBe(true);
    });
  });

  it('moves several partitions in one statement, each by itself', async () => {
    await inTransaction(database.dataSource, async (tx) => {
      await movePositions(tx, SCHEMA, [chunk('many', 10, 'home', 1), chunk('many', 20, 'home', 2)]);
      const isFresh = await movePositions(tx, SCHEMA, [
        chunk('many', 30, 'home', 2),
        chunk('many', 30, 'home', 1),
        chunk('many', 30, 'home', 0),
      ]);
      const fresh = [0, 1, 2].map((partition) =>
        ['0', '10', '20'].filter((offset) => isFresh({ partition, offset })).join(),
      );
      expect(fresh).toEqual(['0,10,20', '10,20', '20']);
    });
  });

  it('skips nothing of another cluster, whose offsets begin anew, and counts there from then on', async () => {
    await move('replaced', 0, 5_000);
    expect(await move('replaced', 0, 10, { cluster: 'other' })).toBe(0);
    expect(await move('replaced', 5, 20, { cluster: 'other' })).toBe(10);
  });
});

describe('resetPositions', () => {
  it('lets a topic be read again, and only that one', async () => {
    await move('again', 0, 500);
    await move('untouched', 0, 500);
    expect(await resetPositions(database.dataSource, SCHEMA, 'again')).toBe(1);
    expect(await move('again', 0, 500)).toBe(0);
    expect(await move('untouched', 0, 500)).toBe(500);
  });
});
