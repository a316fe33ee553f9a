import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { HookPacer } from './hook-pacer.js';

const HOOK = 'https://hooks.example/a';
const OTHER = 'https://hooks.example/b';
const never = new AbortController().signal;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** When each turn came, in milliseconds from now. */
function turns(pacer: HookPacer, count: number, hook = HOOK): number[] {
  const from = performance.now();
  const at: number[] = [];
  for (let turn = 0; turn < count; turn += 1)
    void pacer.turn(hook, never).then(() => at.push(performance.now() - from));
  return at;
}

describe('the pace of a hook', () => {
  it('lets calls go at once while they fit into a second', async () => {
    const at = turns(new HookPacer(30), 30);
    await jest.advanceTimersByTimeAsync(0);

    expect(at).toEqual(Array.from({ length: 30 }, () => 0));
  });

  it('never lets more begin in any second, and holds none longer than that takes', async () => {
    const pacer = new HookPacer(30);
    const early = turns(pacer, 20);
    await jest.advanceTimersByTimeAsync(600);
    const late = turns(pacer, 100);
    await jest.advanceTimersByTimeAsync(10_000);

    const at = [...early, ...late.map((ms) => ms + 600)];
    expect(at).toHaveLength(120);
    for (let index = 30; index < at.length; index += 1)
      expect(at[index]! - at[index - 30]!).toBeGreaterThanOrEqual(1_000);
    expect(at.at(-1)).toBeLessThan(3_700);
  });

  it('is kept by each hook alone', async () => {
    const pacer = new HookPacer(2);
    turns(pacer, 10);
    const at = turns(pacer, 2, OTHER);
    await jest.advanceTimersByTimeAsync(0);

    expect(at).toEqual([0, 0]);
  });

  it('serves those who wait in the order of their coming', async () => {
    const pacer = new HookPacer(1);
    const served: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) void pacer.turn(HOOK, never).then(() => served.push(turn));
    await jest.advanceTimersByTimeAsync(10_000);

    expect(served).toEqual([0, 1, 2, 3, 4]);
  });

  it('gives the turn of one who gave up to the next', async () => {
    const pacer = new HookPacer(1);
    const controller = new AbortController();
    const reason = new Error('stopped');
    void pacer.turn(HOOK, never);
    const given = expect(pacer.turn(HOOK, controller.signal)).rejects.toBe(reason);
    const at = turns(pacer, 1);

    controller.abort(reason);
    await given;
    await jest.advanceTimersByTimeAsync(1_500);

    expect(at).toHaveLength(1);
    expect(at[0]).toBeLessThan(1_100);
    await expect(pacer.turn(HOOK, controller.signal)).rejects.toBe(reason);
  });

  it('forgets hooks that nobody calls', async () => {
    const pacer = new HookPacer(1);
    turns(pacer, 3);
    expect(pacer.size).toBe(1);
    await jest.advanceTimersByTimeAsync(5_000);

    expect(pacer.size).toBe(0);
  });
});
