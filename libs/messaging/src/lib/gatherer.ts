interface Waiting<P> {
  readonly part: P;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface GathererOptions<P> {
  /** Handles these parts together: all of them, or none. */
  readonly run: (parts: readonly P[]) => Promise<void>;
  readonly sizeOf: (part: P) => number;
  /** Of one call; a larger part goes alone. */
  readonly maxSize: number;
  /** Calls side by side. */
  readonly concurrency: number;
}

/**
 * Puts what several partitions bring at the same moment into one call. At a low rate each partition has one message,
 * and a call costs the same for one as for a hundred: statements, a commit to disk, a question to Kafka.
 *
 * A call that fails is made again for each part by itself, so that a fault is only ever that of its own partition.
 */
export class Gatherer<P> {
  private readonly waiting: Waiting<P>[] = [];
  private running = 0;
  private isBoarding = false;

  constructor(private readonly options: GathererOptions<P>) {}

  add(part: P): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ part, resolve, reject });
      if (this.isBoarding) return;
      this.isBoarding = true;
      // The client hands over all partitions of one answer of the broker in the same turn.
      setImmediate(() => {
        this.isBoarding = false;
        this.depart();
      });
    });
  }

  private depart(): void {
    while (this.running < this.options.concurrency && this.waiting.length > 0) {
      this.running += 1;
      void this.travel(this.next()).finally(() => {
        this.running -= 1;
        this.depart();
      });
    }
  }

  private next(): readonly Waiting<P>[] {
    const { sizeOf, maxSize } = this.options;
    let size = 0;
    let count = 0;
    for (const { part } of this.waiting) {
      size += sizeOf(part);
      if (count > 0 && size > maxSize) break;
      count += 1;
    }
    return this.waiting.splice(0, count);
  }

  private async travel(group: readonly Waiting<P>[]): Promise<void> {
    try {
      await this.options.run(group.map(({ part }) => part));
    } catch (error) {
      const [alone, ...others] = group;
      if (others.length === 0) alone?.reject(error);
      else for (const member of group) await this.travel([member]);
      return;
    }
    for (const { resolve } of group) resolve();
  }
}
