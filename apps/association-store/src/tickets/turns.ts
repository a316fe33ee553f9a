/** Nobody else may wait: come again later. */
export class NoTurnLeft extends Error {}

/** So many at one time; the others wait, in the order in which they came. */
export class Turns {
  private readonly waiting: (() => void)[] = [];
  private free: number;

  constructor(
    atOnce: number,
    private readonly mostWaiting: number,
  ) {
    this.free = atOnce;
  }

  /** @throws {NoTurnLeft} when too many wait; whatever `work` throws. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else if (this.waiting.length >= this.mostWaiting)
      throw new NoTurnLeft('waiting for a turn: too many wait');
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}
