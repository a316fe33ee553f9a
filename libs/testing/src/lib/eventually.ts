import { setTimeout as delay } from 'node:timers/promises';

/**
 * Repeats an assertion until it passes. Use it instead of a sleep: it ends as soon as the
 * state is there, and it fails with the assertion's own message when it never comes.
 *
 * @param options.withinMs longest wait, in milliseconds. The assertion runs at least once.
 * @throws the last error of the assertion.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  options: { readonly withinMs: number; readonly everyMs?: number },
): Promise<T> {
  const deadline = performance.now() + options.withinMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      await delay(options.everyMs ?? 25);
    }
  }
}
