/** An event on its way to Kafka: CloudEvents 1.0, binary mode. */
export interface OutgoingEvent {
  /** As in the catalogue, without the installation's prefix. */
  readonly topic: string;
  /** What must stay in order. */
  readonly key: string;
  readonly id: string;
  /** `ce_type`, for example `heddle.order.submitted.v1`. */
  readonly type: string;
  readonly source: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly subject?: string | undefined;
  readonly tenant: string;
  readonly traceparent?: string | undefined;
  /** JSON text; the contract has parsed it. */
  readonly data: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** One message as it came off the wire: nothing parsed, nothing trusted. */
export interface IncomingMessage {
  /** As in the catalogue, without the installation's prefix. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Uint8Array;
}

/** A message whose contract has parsed it. */
export interface ReceivedEvent<T = unknown> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  /** Of a replayed dead letter: the offset at which it first stood. It loses against anything newer of its key. */
  readonly originOffset?: string;
  readonly key: string;
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly time: string;
  readonly subject?: string;
  readonly tenant: string;
  readonly traceparent?: string;
  readonly data: T;
  readonly headers: Readonly<Record<string, string>>;
}

/** The part of a partition that a batch covers. */
export interface PartitionChunk {
  readonly topic: string;
  readonly partition: number;
  /** Of the first raw message, parsed or skipped. */
  readonly firstOffset: string;
  /** One past the last raw message: what `consumed_positions` moves to. */
  readonly nextOffset: string;
  /** Id of the Kafka cluster that counts these offsets. */
  readonly cluster: string;
}

/** What some partitions of one topic bring at a time; the payload of every `@EventPattern` handler. */
export interface EventBatch<T = unknown> {
  readonly topic: string;
  /** Each partition at most once. */
  readonly chunks: readonly PartitionChunk[];
  /** Partition by partition, by rising offset. */
  readonly events: readonly ReceivedEvent<T>[];
}

/**
 * What a handler did with a batch.
 *
 * - nothing: all of it is committed in the handler's own store.
 * - `taken`: a worker takes the first `taken` events. Their offsets are committed at once, then `afterCommit`
 *   hears whether that worked; where it did not, the worker forgets them, for another one gets them. What was
 *   not taken is offered again after `KafkaServer.resume(topic)`.
 */
export type BatchResult =
  undefined | { readonly taken: number; readonly afterCommit: (committed: boolean) => void };
