import { describe, expect, it } from '@jest/globals';

import { NoTurnLeft, Turns } from './turns.js';

describe('turns', () => {
  it('lets so many at a time, the others in their order, and refuses what is too much', async () => {
    const turns = new Turns(2, 3);
    const started: number[] = [];
    const ends: (() => void)[] = [];
    const work = (n: number) =>
      turns.take(
        () =>
          new Promise<number>((resolve) => {
            started.push(n);
            ends.push(() => resolve(n));
          }),
      );
    const all = [0, 1, 2, 3, 4].map(work);
    await expect(work(5)).rejects.toThrow(NoTurnLeft);
    expect(started).toEqual([0, 1]);
    for (const [index, one] of all.entries()) {
      ends[index]!();
      expect(await one).toBe(index);
    }
    expect(started).toEqual([0, 1, 2, 3, 4]);
  });

  it('goes on after work that failed', async () => {
    const turns = new Turns(1, 1);
    await expect(turns.take(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await turns.take(() => Promise.resolve('yes'))).toBe('yes');
  });
});
