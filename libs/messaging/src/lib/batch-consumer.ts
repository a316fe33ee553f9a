import type { IncomingMessage } from './events.js';

export type { IncomingMessage };

/** What one `eachBatch` call of the Kafka client offers, and nothing more. */
export interface PartitionBatch {
  /** Messages of one partition, by rising offset. */
  readonly messages: readonly IncomingMessage[];
  /** False once the consumer stops, the partition belongs to another member or the rest is left for a later fetch. */
  isLive(): boolean;
  /** Declares everything up to and including `offset` settled. The client commits it later. */
  resolveOffset(offset: string): void;
  /** Rejects when the group rebalances. That rejection is the client's own and must reach it. */
  heartbeat(): Promise<void>;
}

export interface DeadLetters {
  /**
   * Publishes to `<topic>.dead-letter`. Waits while Kafka is away; never rejects. Resolves to `false` where this
   * process ends before that: the message is not settled.
   */
  publish(message: IncomingMessage, error: unknown): Promise<unknown>;
}

/** `transient`: a later try of the same messages can succeed. `poison`: it cannot. */
export type Fault = 'transient' | 'poison';

/** A message that breaks its contract: no try can help it, and its place in the chunk is known. */
export class UnreadableMessage extends Error {
  override readonly name: string = 'UnreadableMessage';

  constructor(
    /** Index in the chunk. */
    readonly at: number,
    options?: ErrorOptions,
  ) {
    super('reading a message', options);
  }
}

type Next = 'stop' | undefined;

export interface BatchConsumerOptions<B extends PartitionBatch = PartitionBatch> {
  /**
   * Handles messages of one partition in one transaction. Resolves after the commit and rejects with none of their
   * effects left.
   */
  readonly handle: (chunk: readonly IncomingMessage[], batch: B) => Promise<void>;
  readonly deadLetters: DeadLetters;
  /** The only place that tells a lost database from a bad message. */
  readonly faultOf: (error: unknown) => Fault;
  /** Resolves after the delay for the given number of failures; well under the timeout of the group. */
  readonly backOff: (failures: number) => Promise<void>;
  /** Messages per transaction. */
  readonly chunkMessages?: number;
  /**
   * Called instead of `backOff` once a chunk has failed a few times, so that one partition that waits does not hold
   * up the others of this process. The batch ends; the same messages come again.
   */
  readonly park?: (batch: B, failures: number, error: unknown) => void;
  /** Called instead of one more dead letter when too many came in a row: then the fault is ours. */
  readonly refuse?: (batch: B) => void;
}

type Outcome = { readonly kind: 'committed' } | { readonly kind: Fault; readonly error: unknown };

/** Larger chunks gain little and make a bisection longer. */
export const CHUNK_MESSAGES = 500;
/** Failures of a chunk that are waited for in place. */
const TRIES_BEFORE_PARKING = 3;
/** Tries of a message that fails alone. One that succeeds later was not poison. */
const LONE_TRIES = 3;
const MAX_DEAD_LETTERS_IN_A_ROW = 20;

/**
 * Settles every message of a batch, in order: committed by the handler, or dead-lettered.
 *
 * No error of ours reaches the client. kafkajs answers one with five more tries and then a consumer that restarts
 * for ever on the same offset, or, for a TypeError, one that stops while the process looks healthy. So a transient
 * fault is waited out here, with heartbeats, and a poison fault is bisected until the one bad message is alone; its
 * neighbours commit and the partition moves on.
 *
 * An offset is resolved only after its effects are committed. A crash in between repeats the messages, and the
 * handler's unique keys make the repetition harmless.
 */
export class BatchConsumer<B extends PartitionBatch = PartitionBatch> {
  /** Per partition: dead letters since the last commit, and failures since the last success. */
  private readonly inARow = new Map<string, number>();
  private readonly failures = new Map<string, number>();

  constructor(private readonly options: BatchConsumerOptions<B>) {}

  async consume(batch: B): Promise<void> {
    const size = this.options.chunkMessages ?? CHUNK_MESSAGES;
    for (let start = 0; start < batch.messages.length; start += size) {
      const next = await this.settle(batch.messages.slice(start, start + size), batch);
      if (next === 'stop') return;
    }
  }

  private async settle(chunk: readonly IncomingMessage[], batch: B): Promise<Next> {
    const last = chunk.at(-1);
    if (last === undefined) return undefined;
    const place = placeOf(last);

    for (let tries = 1; batch.isLive(); tries += 1) {
      const outcome = await this.attempt(chunk, batch);
      if (outcome.kind === 'transient') {
        const failures = (this.failures.get(place) ?? 0) + 1;
        this.failures.set(place, failures);
        if (failures > TRIES_BEFORE_PARKING && this.options.park !== undefined) {
          this.options.park(batch, failures, outcome.error);
          return 'stop';
        }
        await this.options.backOff(failures);
        await batch.heartbeat();
        continue;
      }
      this.failures.delete(place);
      if (outcome.kind === 'committed') {
        this.inARow.delete(place);
        return await this.resolve(last, batch);
      }
      if (chunk.length > 1) return await this.separate(chunk, outcome.error, batch);
      if (!(outcome.error instanceof UnreadableMessage) && tries < LONE_TRIES) {
        await this.options.backOff(tries);
        await batch.heartbeat();
        continue;
      }
      return await this.setAside(last, outcome.error, batch);
    }
    return 'stop';
  }

  private async separate(chunk: readonly IncomingMessage[], error: unknown, batch: B): Promise<Next> {
    const cuts =
      error instanceof UnreadableMessage ? [error.at, error.at + 1] : [Math.ceil(chunk.length / 2)];
    let from = 0;
    for (const to of [...cuts, chunk.length]) {
      if ((await this.settle(chunk.slice(from, to), batch)) === 'stop') return 'stop';
      from = to;
    }
    return undefined;
  }

  private async setAside(message: IncomingMessage, error: unknown, batch: B): Promise<Next> {
    const place = placeOf(message);
    const before = this.inARow.get(place) ?? 0;
    if (before >= MAX_DEAD_LETTERS_IN_A_ROW && this.options.refuse !== undefined) {
      this.options.refuse(batch);
      return 'stop';
    }
    this.inARow.set(place, before + 1);
    const isKept = await this.options.deadLetters.publish(message, error);
    return isKept === false ? 'stop' : await this.resolve(message, batch);
  }

  private async resolve(last: IncomingMessage, batch: B): Promise<Next> {
    batch.resolveOffset(last.offset);
    await batch.heartbeat();
    return batch.isLive() ? undefined : 'stop';
  }

  private async attempt(chunk: readonly IncomingMessage[], batch: B): Promise<Outcome> {
    try {
      await this.options.handle(chunk, batch);
      return { kind: 'committed' };
    } catch (error) {
      if (error instanceof UnreadableMessage) return { kind: 'poison', error };
      return { kind: this.options.faultOf(error), error };
    }
  }
}

function placeOf({ topic, partition }: IncomingMessage): string {
  return `${topic}/${String(partition)}`;
}
