import { createHash } from 'node:crypto';

interface Turn {
  take(): void;
}

/** One hook while it is in use. */
interface Paced {
  /** `performance.now()` of the latest turns, oldest first; never more than fit into a second. */
  readonly taken: number[];
  readonly waiting: Set<Turn>;
  timer: NodeJS.Timeout | undefined;
}

const WINDOW_MS = 1_000;

/**
 * Lets so many calls of one hook begin in any second, first come, first served. Hooks are told apart by their whole
 * address: several integrations may lead to one, and the vendor counts the hook's calls.
 */
export class HookPacer {
  private readonly hooks = new Map<string, Paced>();

  constructor(private readonly perSecond: number) {}

  /** Hooks that are remembered: those called within the last second, and those that are waited for. */
  get size(): number {
    return this.hooks.size;
  }

  /** @throws the signal's reason once it aborts. The turn that was waited for goes to the next. */
  async turn(hookUrl: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const key = keyOf(hookUrl);
    const hook = this.hooks.get(key) ?? { taken: [], waiting: new Set(), timer: undefined };
    this.hooks.set(key, hook);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const turn: Turn = { take: () => resolve(undefined) };
    const stop = (): void => {
      hook.waiting.delete(turn);
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
    hook.waiting.add(turn);
    this.pump(key, hook);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  private pump(key: string, hook: Paced): void {
    const now = performance.now();
    while (hook.taken[0] !== undefined && now - hook.taken[0] >= WINDOW_MS) hook.taken.shift();
    for (const turn of hook.waiting) {
      if (hook.taken.length >= this.perSecond) break;
      hook.waiting.delete(turn);
      hook.taken.push(now);
      turn.take();
    }
    const [oldest] = hook.taken;
    if (oldest === undefined) {
      this.hooks.delete(key);
      return;
    }
    if (hook.timer !== undefined) return;
    hook.timer = setTimeout(
      () => {
        hook.timer = undefined;
        this.pump(key, hook);
      },
      Math.max(1, Math.ceil(oldest + WINDOW_MS - now)),
    );
    hook.timer.unref();
  }
}

/** Hashed: whoever has the address may post to it. */
function keyOf(hookUrl: string): string {
  return createHash('sha256').update(hookUrl).digest('base64');
}
