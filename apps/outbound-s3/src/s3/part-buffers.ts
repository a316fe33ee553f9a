/** A buffer for one part; give it back exactly once. */
export interface Lease {
  readonly buffer: Buffer;
  release(): void;
}

/**
 * The buffers that parts are collected in: never more than `count`, shared by all uploads of the process, so that a
 * large file and many large files need the same memory.
 */
export class PartBuffers {
  private readonly free: Buffer[] = [];
  private readonly waiting: (() => void)[] = [];
  private inUse = 0;

  constructor(
    readonly partBytes: number,
    private readonly count: number,
  ) {}

  /** Waits for its turn. */
  async lease(signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    if (this.inUse >= this.count) await this.turn(signal);
    else this.inUse += 1;
    const buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(this.partBytes);
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      this.giveBack(buffer);
    };
    return { buffer, release };
  }

  /** The place of one that gives its buffer back goes to the next in turn. */
  private turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.waiting.splice(this.waiting.indexOf(take), 1);
        reject(signal.reason as Error);
      };
      const take = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
      this.waiting.push(take);
    });
  }

  private giveBack(buffer: Buffer): void {
    this.free.push(buffer);
    const next = this.waiting.shift();
    if (next) {
      next();
      return;
    }
    this.inUse -= 1;
    // At rest nothing is kept.
    if (this.inUse === 0) this.free.length = 0;
  }
}
