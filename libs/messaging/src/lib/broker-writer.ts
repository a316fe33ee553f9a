import type { PartitionMessages } from './produce-request.js';

/** One partition's part of a request. */
export interface Append extends PartitionMessages {
  readonly bytes: number;
}

export interface BrokerWriterOptions {
  /** One request. Resolves with the offset of the first message of each part, or why it was not appended. */
  readonly send: (parts: readonly Append[]) => Promise<readonly AppendResult[]>;
}

export type AppendResult = { readonly firstOffset: string } | { readonly error: unknown };

interface WaitingAppend extends Append {
  readonly resolve: (firstOffset: string) => void;
  readonly reject: (error: unknown) => void;
}

/** Far below the brokers' limit of a request (100 MiB). A larger part goes alone. */
const MAX_REQUEST_BYTES = 8 * 1024 * 1024;

/**
 * Writes to one broker over one connection, one request at a time: what partitions ask for in one turn of the event loop,
 * or while a request is under way, goes into the next. A broker takes up the next request of a connection when it has
 * answered the one before, so nothing is gained by sending them apart, and each costs both sides as much as a dozen more
 * messages in one.
 */
export class BrokerWriter {
  private waiting: WaitingAppend[] = [];
  private isRunning = false;

  constructor(private readonly options: BrokerWriterOptions) {}

  /** One try. No partition may be given again before its answer. */
  append(part: Append): Promise<string> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...part, resolve, reject });
      if (this.isRunning) return;
      this.isRunning = true;
      queueMicrotask(() => void this.run());
    });
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) await this.write(this.take());
    this.isRunning = false;
  }

  private take(): WaitingAppend[] {
    let bytes = 0;
    const beyond = this.waiting.findIndex((part, index) => {
      bytes += part.bytes;
      return index > 0 && bytes > MAX_REQUEST_BYTES;
    });
    return this.waiting.splice(0, beyond < 0 ? this.waiting.length : beyond);
  }

  private async write(parts: readonly WaitingAppend[]): Promise<void> {
    try {
      const results = await this.options.send(parts);
      parts.forEach(({ resolve, reject }, index) => {
        const result = results[index];
        if (result !== undefined && 'firstOffset' in result) resolve(result.firstOffset);
        else reject(result?.error);
      });
    } catch (error) {
      // The way to the broker failed: those behind would only learn the same, each after a time-out of its own.
      for (const { reject } of [...parts, ...this.waiting.splice(0)]) reject(error);
    }
  }
}
