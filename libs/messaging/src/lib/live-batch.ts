import type { EachBatchPayload, KafkaMessage } from 'kafkajs';

import type { PartitionBatch } from './batch-consumer.js';
import type { IncomingMessage } from './events.js';

export interface LiveBatchOptions {
  readonly payload: EachBatchPayload;
  /** Without the installation's prefix. */
  readonly topic: string;
  /** False once the group has given out its partitions anew. */
  readonly isCurrent: () => boolean;
  readonly isClosing: () => boolean;
  readonly isRebalance: (error: unknown) => boolean;
}

/** One `eachBatch` call of kafkajs behind our port. */
export class LiveBatch implements PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly IncomingMessage[];
  private readonly payload: EachBatchPayload;
  private isLeft = false;
  private lost: { readonly error: unknown } | undefined;

  constructor(private readonly options: LiveBatchOptions) {
    const { payload, topic } = options;
    this.payload = payload;
    this.topic = topic;
    this.partition = payload.batch.partition;
    this.messages = payload.batch.messages.map((message) => incoming(topic, this.partition, message));
  }

  isLive(): boolean {
    const { isCurrent, isClosing } = this.options;
    if (this.isLeft || this.lost !== undefined || !isCurrent() || isClosing()) return false;
    return this.payload.isRunning() && !this.payload.isStale();
  }

  /** Leaves what is not resolved for a later fetch. */
  leave(): void {
    this.isLeft = true;
  }

  pause(): void {
    this.isLeft = true;
    this.payload.pause();
  }

  resolveOffset(offset: string): void {
    // After a new assignment kafkajs has no entry for a partition that is gone, and would raise a TypeError.
    if (!this.isLeft && this.options.isCurrent()) this.payload.resolveOffset(offset);
  }

  /**
   * Commits at once, for batches of one topic, that everything below `next` is done. False where another member may
   * get some of it again.
   */
  static async commit(
    batches: readonly { readonly batch: LiveBatch; readonly next: string }[],
  ): Promise<boolean> {
    const [first] = batches;
    if (first === undefined) return true;
    if (!batches.every(({ batch }) => batch.isLive())) return false;
    const { payload } = first.batch;
    try {
      await payload.commitOffsetsIfNecessary({
        topics: [
          {
            topic: payload.batch.topic,
            partitions: batches.map(({ batch, next }) => ({ partition: batch.partition, offset: next })),
          },
        ],
      });
      return true;
    } catch (error) {
      for (const { batch } of batches) batch.note(error);
      return false;
    }
  }

  /** Commits everything that is resolved, of any batch of this consumer. What fails here is committed later. */
  async commitResolved(): Promise<void> {
    if (!this.options.isCurrent()) return;
    const offsets = this.payload.uncommittedOffsets();
    if (offsets.topics.length > 0)
      await this.payload.commitOffsetsIfNecessary(offsets).catch(() => undefined);
  }

  async heartbeat(): Promise<void> {
    this.throwIfLost();
    await this.payload.heartbeat();
    // Once the interval has passed, so that a crash in a long batch repeats little.
    await this.payload.commitOffsetsIfNecessary();
  }

  throwIfLost(): void {
    if (this.lost !== undefined) throw this.lost.error;
  }

  /** Heartbeats while a handler runs or waits: kafkajs has no thread for them. */
  keepAlive(everyMs: number): NodeJS.Timeout {
    return setInterval(
      () => {
        if (this.lost === undefined && this.options.isCurrent()) {
          this.payload.heartbeat().catch((error: unknown) => {
            this.note(error);
          });
        }
      },
      Math.max(100, everyMs / 3),
    );
  }

  /** A heartbeat that a broken connection swallowed is repeated; only the group's own "no" is final. */
  private note(error: unknown): void {
    if (this.options.isRebalance(error)) this.lost ??= { error };
  }
}

function incoming(topic: string, partition: number, message: KafkaMessage): IncomingMessage {
  return {
    topic,
    partition,
    offset: message.offset,
    key: message.key?.toString(),
    headers: headersOf(message),
    value: message.value ?? EMPTY,
  };
}

/** As text; of a header that stands there more than once, the first. */
export function headersOf({ headers: raw }: KafkaMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name in raw) {
    const value = raw[name];
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) headers[name] = first.toString();
  }
  return headers;
}

const EMPTY = Buffer.alloc(0);
