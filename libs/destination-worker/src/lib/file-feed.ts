import type { DeliveryFile } from '@heddle/destination-kit';

/**
 * Hands files from the fetches to the destination's readers. Several may read at once; each file
 * goes to one of them, and a reader that leaves takes nothing with it.
 */
export class FileFeed implements AsyncIterable<DeliveryFile> {
  private readonly ready: DeliveryFile[] = [];
  private readonly readers: ((result: IteratorResult<DeliveryFile>) => void)[] = [];
  private hasEnded = false;

  /** @param onTaken a file has left: there is room for the next fetch. */
  constructor(private readonly onTaken: () => void) {}

  get waiting(): number {
    return this.ready.length;
  }

  push(file: DeliveryFile): void {
    const reader = this.readers.shift();
    if (!reader) {
      this.ready.push(file);
      return;
    }
    reader({ done: false, value: file });
    this.onTaken();
  }

  end(): void {
    this.hasEnded = true;
    for (const reader of this.readers.splice(0)) reader({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<DeliveryFile> {
    return {
      next: () => {
        const file = this.ready.shift();
        if (file) {
          this.onTaken();
          return Promise.resolve({ done: false, value: file });
        }
        if (this.hasEnded) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => this.readers.push(resolve));
      },
    };
  }
}
