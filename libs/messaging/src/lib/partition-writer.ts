import type { WireMessage } from './produce-request.js';

/** One event that waits for its acknowledgement. */
export interface PendingEvent {
  readonly message: WireMessage;
  readonly bytes: number;
  /** False once its caller has an answer: its deadline passed. It is not tried any more. */
  readonly isWanted: boolean;
  acknowledge(partition: number, offset: string): void;
  refuse(cause: unknown): void;
}

export interface PartitionWriterOptions {
  readonly partition: number;
  /** One append to this partition. Resolves with the offset of its first message once all replicas have it. */
  readonly send: (messages: readonly WireMessage[], bytes: number) => Promise<string>;
  /** True where Kafka will never take these messages together. */
  readonly isPermanent: (error: unknown) => boolean;
  /** Resolves after the delay for the given number of failures. */
  readonly backOff: (failures: number) => Promise<void>;
}

/** Grouping and encoding are quadratic in kafkajs; beyond this they stop the event loop. */
export const MAX_REQUEST_MESSAGES = 500;
/** Below the brokers' default limit of one request per partition (1 MiB). A larger message goes alone. */
export const MAX_REQUEST_BYTES = 900_000;
/** Withdrawn events beyond which the queue is worth rebuilding. */
const MIN_COMPACTION = 1_000;

/**
 * Writes one partition: first in, first out, one append under way.
 *
 * While a request is under way the queue grows, and the next request takes all of it, so throughput follows load
 * without a timer. A failed request is tried again with the same messages before anything behind them, so a later
 * event never overtakes an earlier one that is still wanted. An event whose deadline has passed is left out of
 * every further try. What Kafka refuses for good is halved until the refused event is alone.
 */
export class PartitionWriter {
  private queue: PendingEvent[] = [];
  private head = 0;
  private withdrawn = 0;
  private isRunning = false;

  constructor(private readonly options: PartitionWriterOptions) {}

  get isIdle(): boolean {
    return !this.isRunning;
  }

  /** Events in the queue, those included that are no longer wanted. */
  get queued(): number {
    return this.queue.length - this.head;
  }

  /** Queues; {@link start} sends. */
  add(event: PendingEvent): void {
    this.queue.push(event);
  }

  start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    void this.run();
  }

  /** Tells that one more event is no longer wanted, so that a long outage does not pile them up. */
  withdraw(): void {
    this.withdrawn += 1;
    if (this.withdrawn < MIN_COMPACTION || this.withdrawn * 2 < this.queued) return;
    this.queue = this.queue.slice(this.head).filter((event) => event.isWanted);
    this.head = 0;
    this.withdrawn = 0;
  }

  private async run(): Promise<void> {
    for (let batch = this.take(); batch.length > 0; batch = this.take()) await this.write(batch);
    this.isRunning = false;
  }

  private take(): PendingEvent[] {
    const batch: PendingEvent[] = [];
    let bytes = 0;
    for (; this.head < this.queue.length; this.head += 1) {
      const event = this.queue[this.head];
      if (event?.isWanted !== true) continue;
      if (batch.length >= MAX_REQUEST_MESSAGES) break;
      if (batch.length > 0 && bytes + event.bytes > MAX_REQUEST_BYTES) break;
      batch.push(event);
      bytes += event.bytes;
    }
    if (this.head === this.queue.length) this.queue = [];
    else if (this.head > this.queue.length / 2) this.queue = this.queue.slice(this.head);
    else return batch;
    this.head = 0;
    this.withdrawn = Math.min(this.withdrawn, this.queue.length);
    return batch;
  }

  /** Resolves when every event of the batch is acknowledged, refused or no longer wanted. */
  private async write(batch: PendingEvent[]): Promise<void> {
    let events = batch;
    for (let failures = 1; events.length > 0; failures += 1) {
      const failure = await this.attempt(events);
      if (failure === undefined) return;
      if (this.options.isPermanent(failure.error)) {
        await this.separate(events, failure.error);
        return;
      }
      await this.options.backOff(failures);
      events = events.filter((event) => event.isWanted);
    }
  }

  private async separate(events: PendingEvent[], error: unknown): Promise<void> {
    if (events.length === 1) {
      events[0]?.refuse(error);
      return;
    }
    const middle = Math.ceil(events.length / 2);
    await this.write(events.slice(0, middle));
    await this.write(events.slice(middle).filter((event) => event.isWanted));
  }

  private async attempt(events: PendingEvent[]): Promise<{ readonly error: unknown } | undefined> {
    let bytes = 0;
    const messages = events.map((event) => {
      bytes += event.bytes;
      return event.message;
    });
    try {
      const first = await this.options.send(messages, bytes);
      acknowledge(events, this.options.partition, first);
      return undefined;
    } catch (error) {
      return { error };
    }
  }
}

function acknowledge(events: readonly PendingEvent[], partition: number, firstOffset: string): void {
  const first = Number(firstOffset);
  if (Number.isSafeInteger(first)) {
    events.forEach((event, index) => {
      event.acknowledge(partition, String(first + index));
    });
    return;
  }
  const exact = BigInt(firstOffset);
  events.forEach((event, index) => {
    event.acknowledge(partition, String(exact + BigInt(index)));
  });
}
