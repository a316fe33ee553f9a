import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from 'pino';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { OutgoingEvent } from './events.js';
import type { KafkaOptions } from './kafka-config.js';
import { isAnswer, isPermanent, kafkaErrorType } from './kafka-error.js';
import { KafkaTransport } from './kafka-transport.js';
import type { PublisherTransport } from './kafka-transport.js';
import { Metrics } from './metrics.js';
import { partitionOf } from './murmur2.js';
import { PartitionWriter } from './partition-writer.js';
import type { WireMessage } from './produce-request.js';
import { PublishCall, messageOf, sizeOf } from './publish-call.js';
import type { OutgoingMessage, QueuedEvent } from './publish-call.js';
import { PublishError } from './publish-error.js';
import { SpreadTransport } from './spread-transport.js';
import type { PublishResult } from './publish-error.js';

export interface KafkaPublisherOptions {
  readonly kafka: KafkaOptions;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** Bytes of events that may wait for their acknowledgement, over all partitions. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** For tests, and for another client one day. */
  readonly transport?: PublisherTransport;
}

/** To each broker. */
const CONNECTIONS = 2;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** Far beyond every topic's limit, yet small enough not to be cut off by the brokers' limit of a request. */
const MAX_EVENT_BYTES = 32 * 1024 * 1024;
const METADATA_REFRESH_MS = 300_000;
const PROBE_MS = 5_000;
const PROBE_AGAIN_MS = 500;

/** What is known of one topic. Until its partitions are, its events wait here in the order of their calls. */
interface Target {
  readonly topic: string;
  readonly writers: PartitionWriter[];
  waiting: QueuedEvent[];
  /** How many of `waiting` nobody waits for any more. */
  withdrawn: number;
  isLoading: boolean;
}

/**
 * Publishes events so that an acknowledged one is never lost and one key never reorders.
 *
 * kafkajs' `send()` over several partitions remembers between its tries which brokers have answered; where a
 * leader moves in between, it skips the moved messages and still fulfils. Its idempotent mode reuses sequence
 * numbers after an error, which the brokers take for duplicates. So its producer is not used: each append
 * here is tried once, whatever else its request carries (`BrokerWriter`); order, retries, deadlines and bounds are those
 * of its partition (`PartitionWriter`).
 */
export class KafkaPublisher {
  private readonly transport: PublisherTransport;
  private readonly targets = new Map<string, Target>();
  private readonly metrics: PublisherMetrics;
  private readonly closing = new AbortController();
  private readonly maxQueuedBytes: number;
  private monitor: Promise<void> | undefined;
  private firstContact = Promise.withResolvers<undefined>();
  private readonly toStart = new Set<Target>();
  private isStarting = false;
  private queuedBytes = 0;
  /** Appends that Kafka has not answered. */
  private underWay = 0;
  private lastContact = -Infinity;
  private isReachable = false;

  constructor(private readonly options: KafkaPublisherOptions) {
    this.transport =
      options.transport ??
      new SpreadTransport(
        Array.from({ length: CONNECTIONS }, () => new KafkaTransport(options.kafka, options.logger)),
      );
    this.maxQueuedBytes = options.maxQueuedBytes ?? MAX_QUEUED_BYTES;
    this.metrics = new PublisherMetrics(options.metrics);
  }

  /** Resolves when Kafka has answered for the first time, however long that takes. */
  connect(): Promise<void> {
    this.monitor ??= this.watch();
    return this.firstContact.promise;
  }

  /** True while Kafka answers: it acknowledged or answered a question within the last seconds. */
  get isConnected(): boolean {
    return this.isReachable;
  }

  /**
   * Resolves with one result per event, in the order of `events`, never later than `deadlineMs` after the call.
   * What is still queued then is withdrawn; what is in flight may still appear in its topic.
   * Either the queue has room for all events of a call or it takes none.
   */
  publish(
    events: readonly OutgoingEvent[],
    options: { readonly deadlineMs: number },
  ): Promise<readonly PublishResult[]> {
    return this.publishMessages(events.map(messageOf), options);
  }

  /** {@link publish} for messages that stay as they came: dead letters and their replays. */
  publishMessages(
    messages: readonly OutgoingMessage[],
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<readonly PublishResult[]> {
    const sizes = messages.map(sizeOf);
    const refusal = this.refusalOf(sizes.reduce((sum, bytes) => sum + bytes, 0));
    if (refusal !== undefined) {
      for (const { topic } of messages) this.metrics.failed(topic, refusal);
      return Promise.resolve(
        messages.map(({ topic }) => ({ ok: false, error: new PublishError(refusal, topic) })),
      );
    }
    this.monitor ??= this.watch();
    return new Promise((resolve) => {
      const call = new PublishCall(messages.length, resolve, this.release);
      messages.forEach((message, index) => {
        const bytes = sizes[index] ?? 0;
        this.occupy(bytes);
        const event = call.add(index, message, bytes);
        if (bytes > MAX_EVENT_BYTES) {
          event.refuse(undefined);
          return;
        }
        const target = this.targetOf(message.topic);
        this.enqueue(target, event);
        this.toStart.add(target);
      });
      call.expireAfter(deadlineMs, this.onExpired);
      this.startSoon();
    });
  }

  /**
   * What one turn of the event loop publishes is one append per partition, not one and the rest. With nothing
   * under way there is nobody to wait for: the turn's end would cost a single caller a tenth of its round trip.
   */
  private startSoon(): void {
    if (this.isStarting) return;
    this.isStarting = true;
    const start = (): void => {
      this.isStarting = false;
      for (const target of this.toStart) {
        if (target.writers.length === 0) void this.load(target);
        for (const writer of target.writers) writer.start();
      }
      this.toStart.clear();
    };
    if (this.underWay === 0) queueMicrotask(start);
    else setImmediate(start);
  }

  /** @throws the first {@link PublishError}. */
  async publishAll(
    events: readonly OutgoingEvent[],
    options: { readonly deadlineMs: number },
  ): Promise<void> {
    for (const result of await this.publish(events, options)) if (!result.ok) throw result.error;
  }

  /** Takes nothing more, lets what is queued finish for at most `withinMs`, then disconnects. */
  async close({ withinMs = 5_000 }: { readonly withinMs?: number } = {}): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.isReachable = false;
    this.isClosed = true;
    const until = performance.now() + withinMs;
    while (!this.isIdle && performance.now() < until) await delay(10);
    this.closing.abort();
    this.firstContact.resolve(undefined);
    await this.monitor;
    await this.transport.close();
  }

  private isClosed = false;

  private get isIdle(): boolean {
    return (
      !this.isStarting &&
      [...this.targets.values()].every(
        ({ writers, waiting }) => waiting.length === 0 && writers.every((writer) => writer.isIdle),
      )
    );
  }

  private refusalOf(bytes: number): 'CLOSED' | 'QUEUE_FULL' | undefined {
    if (this.isClosed) return 'CLOSED';
    // A call larger than the whole queue passes when it is alone, else it could never pass.
    return this.queuedBytes > 0 && this.queuedBytes + bytes > this.maxQueuedBytes ? 'QUEUE_FULL' : undefined;
  }

  private occupy(bytes: number): void {
    this.queuedBytes += bytes;
    this.metrics.queuedBytes.inc(bytes);
  }

  private readonly release = (bytes: number): void => {
    this.queuedBytes -= bytes;
    this.metrics.queuedBytes.dec(bytes);
  };

  private readonly onExpired = (expired: readonly QueuedEvent[], startedAt: number): void => {
    if (this.lastContact < startedAt) this.lostContact('TIMEOUT');
    for (const event of expired) {
      this.metrics.failed(event.topic, 'TIMEOUT');
      if (event.writer !== undefined) {
        event.writer.withdraw();
        continue;
      }
      const target = this.targetOf(event.topic);
      target.withdrawn += 1;
      if (target.withdrawn * 2 < target.waiting.length) continue;
      target.waiting = target.waiting.filter(({ isWanted }) => isWanted);
      target.withdrawn = 0;
    }
  };

  private targetOf(topic: string): Target {
    const known = this.targets.get(topic);
    if (known !== undefined) return known;
    const target: Target = { topic, writers: [], waiting: [], withdrawn: 0, isLoading: false };
    this.targets.set(topic, target);
    return target;
  }

  private enqueue(target: Target, event: QueuedEvent): void {
    const writer = target.writers[partitionOf(event.key, target.writers.length || 1)];
    if (writer === undefined) {
      target.waiting.push(event);
      return;
    }
    event.writer = writer;
    writer.add(event);
  }

  /** Learns the partitions of a topic, for as long as somebody waits for them. */
  private async load(target: Target): Promise<void> {
    if (target.isLoading) return;
    target.isLoading = true;
    for (let failures = 1; target.waiting.length > 0 && !this.closing.signal.aborted; failures += 1) {
      try {
        await this.learn(target);
      } catch (error) {
        this.options.logger.debug(
          { topic: target.topic, code: kafkaErrorType(error) },
          'publisher.metadata.missing',
        );
        await this.backOff(failures);
      }
    }
    target.isLoading = false;
  }

  private async learn(target: Target): Promise<void> {
    const topic = this.options.kafka.topicPrefix + target.topic;
    const count = await this.transport.partitionsOf(topic);
    this.contacted();
    for (let partition = target.writers.length; partition < count; partition += 1) {
      target.writers.push(this.writerOf(topic, target.topic, partition));
    }
    const { waiting } = target;
    if (count === 0) return;
    target.waiting = [];
    target.withdrawn = 0;
    for (const event of waiting) if (event.isWanted) this.enqueue(target, event);
    for (const writer of target.writers) writer.start();
  }

  private writerOf(topic: string, label: string, partition: number): PartitionWriter {
    return new PartitionWriter({
      partition,
      send: (messages, bytes) => this.send(topic, label, partition, messages, bytes),
      isPermanent,
      backOff: (failures) => this.backOff(failures),
    });
  }

  private async send(
    topic: string,
    label: string,
    partition: number,
    messages: readonly WireMessage[],
    bytes: number,
  ): Promise<string> {
    const startedAt = performance.now();
    this.underWay += 1;
    try {
      const offset = await this.transport.send({ topic, partition, messages, bytes });
      this.contacted();
      this.metrics.sent(label, messages.length, bytes, (performance.now() - startedAt) / 1_000);
      return offset;
    } catch (error) {
      const code = kafkaErrorType(error);
      this.metrics.retries.inc({ topic: label, code });
      this.options.logger.debug(
        { topic: label, partition, code, messages: messages.length },
        'publisher.send.failed',
      );
      throw error;
    } finally {
      this.underWay -= 1;
    }
  }

  private contacted(): void {
    this.lastContact = performance.now();
    if (this.isReachable || this.isClosed) return;
    this.isReachable = true;
    this.firstContact.resolve(undefined);
    this.options.logger.info('publisher.connected');
  }

  /** Asks Kafka a small question whenever nothing was acknowledged for a while, so that readiness is never stale. */
  private async watch(): Promise<void> {
    const { signal } = this.closing;
    let refreshedAt = performance.now();
    while (!signal.aborted) {
      if (performance.now() - this.lastContact >= PROBE_MS || !this.isReachable) await this.probe();
      if (performance.now() - refreshedAt > METADATA_REFRESH_MS) {
        refreshedAt = performance.now();
        await Promise.allSettled([...this.targets.values()].map((target) => this.learn(target)));
      }
      const pause = this.isReachable ? PROBE_MS : PROBE_AGAIN_MS;
      await delay(pause, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async probe(): Promise<void> {
    try {
      await this.transport.refresh();
      this.contacted();
    } catch (error) {
      // A broker that answers "no such topic" answers.
      if (isAnswer(error)) this.contacted();
      else this.lostContact(kafkaErrorType(error));
    }
  }

  private lostContact(code: string): void {
    if (this.isReachable) this.options.logger.warn({ code }, 'publisher.disconnected');
    this.isReachable = false;
  }

  private async backOff(failures: number): Promise<void> {
    const ceilingMs = Math.min(500, 25 * 2 ** Math.min(failures, 6));
    await delay(ceilingMs * (0.5 + Math.random() / 2), undefined, { signal: this.closing.signal }).catch(
      () => undefined,
    );
  }
}

class PublisherMetrics {
  readonly queuedBytes: Gauge;
  readonly retries: Counter<'topic' | 'code'>;
  private readonly failures: Counter<'topic' | 'code'>;
  private readonly requestMessages: Histogram<'topic'>;
  private readonly requestBytes: Histogram<'topic'>;
  private readonly ackSeconds: Histogram<'topic'>;

  constructor(registry: Registry) {
    const metrics = new Metrics(registry);
    this.queuedBytes = metrics.gauge(
      'heddle_publisher_queued_bytes',
      'Bytes of events that wait for their acknowledgement.',
    );
    this.retries = metrics.counter(
      'heddle_publisher_request_failures_total',
      'Appends to a partition that failed; most are tried again.',
      ['topic', 'code'],
    );
    this.failures = metrics.counter(
      'heddle_publisher_failures_total',
      'Events that their caller was told were not published.',
      ['topic', 'code'],
    );
    this.requestMessages = metrics.histogram(
      'heddle_publisher_request_messages',
      'Messages per acknowledged append to a partition.',
      ['topic'],
      [1, 5, 20, 100, 250, 500],
    );
    this.requestBytes = metrics.histogram(
      'heddle_publisher_request_bytes',
      'Bytes per acknowledged append to a partition.',
      ['topic'],
      [1_000, 10_000, 100_000, 500_000, 1_000_000, 8_000_000],
    );
    this.ackSeconds = metrics.histogram(
      'heddle_publisher_ack_duration_seconds',
      'From sending a request to its acknowledgement by all replicas.',
      ['topic'],
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    );
  }

  sent(topic: string, messages: number, bytes: number, seconds: number): void {
    this.requestMessages.observe({ topic }, messages);
    this.requestBytes.observe({ topic }, bytes);
    this.ackSeconds.observe({ topic }, seconds);
  }

  failed(topic: string, code: string): void {
    this.failures.inc({ topic, code });
  }
}
