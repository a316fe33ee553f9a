import { setTimeout as delay } from 'node:timers/promises';

import { BaseRpcContext, Server } from '@nestjs/microservices';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import type { Logger } from 'pino';
import type { Counter, Histogram, Registry } from 'prom-client';
import { isObservable, lastValueFrom } from 'rxjs';

import { BatchConsumer, CHUNK_MESSAGES, UnreadableMessage } from './batch-consumer.js';
import type { Fault } from './batch-consumer.js';
import { DeadLetterPublisher } from './dead-letter-publisher.js';
import type { BatchResult, EventBatch, IncomingMessage, PartitionChunk, ReceivedEvent } from './events.js';
import { Gatherer } from './gatherer.js';
import { GroupProgress } from './group-progress.js';
import { createClient, createInnerCluster } from './kafka-client.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';
import { isOutage, isRebalance, kafkaErrorType } from './kafka-error.js';
import { KafkaPublisher } from './kafka-publisher.js';
import { LiveBatch } from './live-batch.js';
import { Metrics } from './metrics.js';
import { OffsetReader } from './offset-reader.js';
import { PausedPartitions } from './paused-partitions.js';
import { readMessage } from './read-message.js';
import type { TopicContract } from './topic-contract.js';

/** What this library needs of the platform's `Health`. */
export interface HealthChecks {
  /** `undefined` = fine, a string = the reason. */
  addLiveness(name: string, check: () => string | undefined): void;
  addReadiness(name: string, check: () => string | undefined): void;
}

export interface KafkaServerOptions {
  readonly kafka: KafkaOptions;
  /** App name = consumer group. */
  readonly groupId: string;
  readonly catalogue: readonly TopicContract[];
  /** The only place that tells a lost database from a bad message. */
  readonly faultOf: (error: unknown) => Fault;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly health: HealthChecks;
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
  /** How long the group waits for a member that is busy before it goes on without it. */
  readonly rebalanceTimeoutMs?: number;
  readonly chunkMessages?: number;
  /** Longest wait of a fetch, and so of a partition that was parked. */
  readonly maxWaitMs?: number;
  /** Handler calls side by side in this process; each takes what many partitions bring at a time. */
  readonly concurrency?: number;
  /** Called after a crash that no restart can mend. Default: ends the process with code 1. */
  readonly onFatal?: () => void;
}

interface Settings {
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly maxWaitMs: number;
  readonly concurrency: number;
}

const DEFAULTS: Omit<Settings, 'heartbeatIntervalMs'> = {
  sessionTimeoutMs: 6_000,
  rebalanceTimeoutMs: 10_000,
  maxWaitMs: 1_000,
  // More calls are smaller ones: with two, one is prepared while the other waits for the disk.
  concurrency: 2,
};

/** No join, no heartbeat for so long: the client has stopped without a word, and a fresh one takes over. */
const SILENCE_MS = 45_000;
/**
 * Longest that a resolved offset waits for its commit. Handlers keep their own positions, or are told of the commit
 * of what they take, so a crash only makes Kafka send again what is skipped.
 */
const COMMIT_MS = 500;
/** How soon a held batch notices that it is no longer ours. */
const HOLD_LOOK_MS = 250;
/** Of one process; more only wait for their turn. */
const PARTITIONS_AT_A_TIME = 64;
const RESTART_MS = 250;
const DISCONNECT_MS = 5_000;
const MAX_PARKED_MS = 2_000;

/** What one partition brings into a handler's call. */
interface Part {
  readonly batch: LiveBatch;
  readonly chunk: PartitionChunk;
  readonly events: readonly ReceivedEvent[];
}

/**
 * One consumer group as a Nest transport strategy: `@EventPattern('<topic>')` methods get an {@link EventBatch} and
 * return a `Promise<BatchResult>`. What they throw must come here unchanged: the microservice needs a global filter
 * that passes errors on (`connectStrategy` of the platform), for Nest's own logs them and answers with another one.
 */
export class KafkaServer extends Server implements CustomTransportStrategy {
  /** Nest need not report what handlers raise: it is settled and said here. */
  override readonly propagatesEventHandlerErrors = true;

  private readonly settings: Settings;
  private readonly client: KafkaClient;
  private readonly contracts: ReadonlyMap<string, TopicContract>;
  private readonly publisher: KafkaPublisher;
  private readonly batches: BatchConsumer<LiveBatch>;
  private readonly paused: PausedPartitions;
  private readonly progress: GroupProgress;
  private readonly gauges: ConsumerMetrics;
  private readonly closing = new AbortController();
  private readonly gatherers = new Map<string, Gatherer<Part>>();
  /** By topic: who waits for a worker that has no room. */
  private readonly rooms = new Map<string, PromiseWithResolvers<undefined>>();
  private cluster = '';
  private committing: NodeJS.Timeout | undefined;
  private latest: LiveBatch | undefined;
  private consumer: Consumer | undefined;
  private running: Promise<void> | undefined;
  /** Grows with each assignment; a batch of an earlier one is no longer ours. */
  private generation = 0;
  private isJoined = false;
  private lastSign = 0;
  private crash: string | undefined;

  constructor(private readonly options: KafkaServerOptions) {
    super();
    const { kafka, logger, groupId } = options;
    const sessionTimeoutMs = options.sessionTimeoutMs ?? kafka.sessionTimeoutMs ?? DEFAULTS.sessionTimeoutMs;
    this.settings = {
      sessionTimeoutMs,
      heartbeatIntervalMs: options.heartbeatIntervalMs ?? sessionTimeoutMs / 4,
      rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? DEFAULTS.rebalanceTimeoutMs,
      maxWaitMs: options.maxWaitMs ?? DEFAULTS.maxWaitMs,
      concurrency: options.concurrency ?? DEFAULTS.concurrency,
    };
    this.client = createClient(kafka, logger);
    this.contracts = new Map(options.catalogue.map((contract) => [contract.name, contract]));
    this.gauges = new ConsumerMetrics(options.metrics);
    this.publisher = new KafkaPublisher({ kafka, logger, metrics: options.metrics });
    this.paused = new PausedPartitions((topic, partition) => {
      this.resumeAtClient(topic, partition);
    });
    this.progress = new GroupProgress({
      source: () => new OffsetReader(createInnerCluster(kafka, logger), kafka.topicPrefix + groupId),
      topicPrefix: kafka.topicPrefix,
      logger,
      metrics: options.metrics,
    });
    this.batches = new BatchConsumer<LiveBatch>({
      handle: (chunk, batch) => this.handle(chunk, batch),
      deadLetters: new DeadLetterPublisher({
        groupId,
        publisher: this.publisher,
        logger,
        counter: this.gauges.deadLetters,
        signal: this.closing.signal,
      }),
      faultOf: (error) => this.faultOf(error),
      backOff: (failures) => this.pause(50 * 2 ** Math.min(failures, 4)),
      park: (batch, failures, error) => {
        this.park(batch, failures, error);
      },
      refuse: (batch) => {
        this.refuse(batch);
      },
      ...(options.chunkMessages !== undefined && { chunkMessages: options.chunkMessages }),
    });
    options.health.addLiveness(`kafka-consumer:${groupId}`, () => this.crash);
    options.health.addReadiness(`kafka-consumer:${groupId}`, () => this.notReady());
  }

  /** Calls back at once: Kafka may be away for long, and readiness tells. */
  listen(callback: (error?: unknown) => void): void {
    try {
      this.checkHandlers();
    } catch (error) {
      callback(error);
      return;
    }
    const topics = [...this.messageHandlers.keys()];
    this.running = this.run(topics);
    this.progress.start(topics);
    callback();
  }

  /** Stops fetching, lets the handlers that run finish, leaves the group. */
  async close(): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    this.paused.clear();
    await this.progress.stop();
    await this.running;
    await this.publisher.close();
  }

  /** Offers again what handlers of this topic have not taken. */
  resume(topic: string): void {
    const room = this.rooms.get(topic);
    this.rooms.delete(topic);
    room?.resolve(undefined);
  }

  /**
   * `performance.now()` since when the group has continuously been at most one poll (2 s) behind the end of `topic`;
   * `undefined` while it is further behind or that is unknown.
   */
  caughtUpSince(topic: string): number | undefined {
    return this.progress.caughtUpSince(topic);
  }

  override on(): never {
    throw new Error('KafkaServer has no events: use the metrics and the health checks');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the base class declares it so
  override unwrap<T>(): T {
    return this.consumer as T;
  }

  private notReady(): string | undefined {
    if (this.crash !== undefined) return this.crash;
    if (!this.isJoined) return 'not in its consumer group: Kafka is away or topics are missing';
    const [refused] = this.paused.refused();
    return refused && `${refused} is paused: too many dead letters in a row`;
  }

  /** A topic with two handlers or with none that its catalogue knows is a mistake of this release. */
  private checkHandlers(): void {
    for (const [topic, handler] of this.messageHandlers) {
      if (!this.contracts.has(topic)) throw new Error(`consuming ${topic}: the catalogue has no such topic`);
      if (handler.isEventHandler !== true) throw new Error(`consuming ${topic}: it needs @EventPattern`);
      if (handler.next !== undefined) throw new Error(`consuming ${topic}: it has more than one handler`);
    }
    if (this.messageHandlers.size === 0) throw new Error(`consuming as ${this.options.groupId}: no handlers`);
  }

  /** Keeps one consumer running. kafkajs' own restarts are not used: a fresh one has no stale state. */
  private async run(topics: readonly string[]): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      const ended = Promise.withResolvers<undefined>();
      const consumer = this.createConsumer((error) => {
        this.onCrash(error);
        ended.resolve(undefined);
      });
      this.consumer = consumer;
      this.lastSign = performance.now();
      const stop = (): void => {
        ended.resolve(undefined);
      };
      signal.addEventListener('abort', stop, { once: true });
      try {
        await this.start(consumer, topics);
        await Promise.race([ended.promise, this.silence(ended.promise)]);
      } catch (error) {
        this.options.logger.warn({ code: kafkaErrorType(error) }, 'consumer.waiting-for-kafka');
      }
      signal.removeEventListener('abort', stop);
      await Promise.race([this.latest?.commitResolved(), delay(COMMIT_MS, undefined, { ref: false })]);
      this.isJoined = false;
      this.generation += 1;
      await this.end(consumer);
      if (this.crash !== undefined) return;
      await this.pause(RESTART_MS);
    }
  }

  private async start(consumer: Consumer, topics: readonly string[]): Promise<void> {
    await consumer.connect();
    this.cluster = await this.clusterId();
    await consumer.subscribe({
      topics: topics.map((topic) => this.options.kafka.topicPrefix + topic),
      // Also the answer to "offset out of range": the other one jumps to the end and skips what retention left.
      fromBeginning: true,
    });
    await consumer.run({
      eachBatchAutoResolve: false,
      // It would ask Kafka after each batch of each partition: see commitSoon.
      autoCommit: false,
      autoCommitInterval: COMMIT_MS,
      partitionsConsumedConcurrently: PARTITIONS_AT_A_TIME,
      eachBatch: (payload) => this.eachBatch(payload),
    });
  }

  private async clusterId(): Promise<string> {
    const admin = this.client.kafka.admin({ retry: { retries: 0 } });
    this.client.watch(admin);
    try {
      await admin.connect();
      return (await admin.describeCluster()).clusterId;
    } finally {
      await Promise.race([admin.disconnect().catch(() => undefined), delay(500, undefined, { ref: false })]);
    }
  }

  private async end(consumer: Consumer): Promise<void> {
    clearTimeout(this.committing);
    this.committing = undefined;
    this.latest = undefined;
    const disconnected = consumer.disconnect().catch(() => undefined);
    await Promise.race([disconnected, delay(DISCONNECT_MS, undefined, { ref: false })]);
  }

  private createConsumer(onCrash: (error: Error) => void): Consumer {
    const { kafka, groupId, logger } = this.options;
    const consumer = this.client.kafka.consumer({
      groupId: kafka.topicPrefix + groupId,
      sessionTimeout: this.settings.sessionTimeoutMs,
      heartbeatInterval: this.settings.heartbeatIntervalMs,
      rebalanceTimeout: this.settings.rebalanceTimeoutMs,
      maxWaitTimeInMs: this.settings.maxWaitMs,
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: () => Promise.resolve(false) },
    });
    this.client.watch(consumer);
    consumer.on(consumer.events.HEARTBEAT, () => {
      this.lastSign = performance.now();
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      this.lastSign = performance.now();
      this.generation += 1;
      // A batch of the former assignment may hold a partition that comes again: the two must not share a call.
      this.gatherers.clear();
      this.isJoined = true;
      const { topicPrefix } = kafka;
      this.paused.keepRefusedOf((topic, partition) =>
        (payload.memberAssignment[topicPrefix + topic] ?? []).includes(partition),
      );
      const partitions = Object.values(payload.memberAssignment).flat().length;
      logger.debug({ partitions, duration_ms: payload.duration }, 'consumer.joined');
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      onCrash(payload.error);
    });
    return consumer;
  }

  private onCrash(error: Error): void {
    const { logger, onFatal } = this.options;
    const code = kafkaErrorType(error);
    if (isOutage(error)) {
      logger.warn({ code }, 'consumer.restarting');
      return;
    }
    this.crash = `the consumer crashed: ${code}`;
    logger.fatal({ code, stack: error.stack }, 'consumer.crashed');
    if (onFatal) onFatal();
    else process.exit(1);
  }

  /** Resolves when the client says nothing any more. */
  private async silence(ended: Promise<unknown>): Promise<void> {
    const over = ended.then(() => true);
    while (performance.now() - this.lastSign < SILENCE_MS) {
      const isOver = await Promise.race([over, delay(1_000, false, { ref: false })]);
      if (isOver) return;
    }
    this.options.logger.error('consumer.silent');
  }

  private async eachBatch(payload: EachBatchPayload): Promise<void> {
    const { generation } = this;
    const batch = new LiveBatch({
      payload,
      topic: payload.batch.topic.slice(this.options.kafka.topicPrefix.length),
      isCurrent: () => generation === this.generation,
      isClosing: () => this.closing.signal.aborted,
      isRebalance,
    });
    const beat = batch.keepAlive(this.settings.heartbeatIntervalMs);
    try {
      await this.batches.consume(batch);
    } finally {
      clearInterval(beat);
    }
    this.commitSoon(batch);
    // A rebalance seen by a heartbeat in between is the client's to handle, and only an error tells it.
    batch.throwIfLost();
  }

  private async handle(chunk: readonly IncomingMessage[], batch: LiveBatch): Promise<void> {
    const { topic } = batch;
    const contract = this.contracts.get(topic);
    const handler = this.messageHandlers.get(topic);
    const [first, last] = [chunk[0], chunk.at(-1)];
    if (contract === undefined || handler === undefined || first === undefined || last === undefined) return;

    const events = this.read(chunk, contract);
    if (events.length === 0) return;
    await this.gathererOf(topic, handler).add({
      batch,
      events,
      chunk: {
        topic,
        partition: batch.partition,
        firstOffset: first.offset,
        nextOffset: after(last.offset),
        cluster: this.cluster,
      },
    });
  }

  private gathererOf(topic: string, handler: MessageHandler): Gatherer<Part> {
    const known = this.gatherers.get(topic);
    if (known !== undefined) return known;
    const gatherer = new Gatherer<Part>({
      run: (parts) => this.call(topic, handler, parts),
      sizeOf: ({ events }) => events.length,
      maxSize: this.options.chunkMessages ?? CHUNK_MESSAGES,
      concurrency: this.settings.concurrency,
    });
    this.gatherers.set(topic, gatherer);
    return gatherer;
  }

  private async call(topic: string, handler: MessageHandler, parts: readonly Part[]): Promise<void> {
    const batch: EventBatch = {
      topic,
      chunks: parts.map(({ chunk }) => chunk),
      events: parts.flatMap(({ events }) => events),
    };
    const room = this.roomOf(topic);
    const startedAt = performance.now();
    const result = await resultOf(handler(batch, new BaseRpcContext([])));
    this.gauges.handled(topic, batch.events.length, (performance.now() - startedAt) / 1_000);
    if (result === undefined) return;
    const left = await this.settleTaken(topic, parts, result);
    if (left.length === 0) return;
    if (await this.isRoom(left, room)) await this.call(topic, handler, left);
    else for (const { batch } of left) batch.leave();
  }

  /** Resolves at the next `resume` of the topic. */
  private roomOf(topic: string): PromiseWithResolvers<undefined> {
    const known = this.rooms.get(topic);
    if (known !== undefined) return known;
    const room = Promise.withResolvers<undefined>();
    this.rooms.set(topic, room);
    return room;
  }

  /**
   * Waits where the messages are: pausing the partition would cost another fetch, and its resumption would wait for the
   * one that runs. Heartbeats go on meanwhile.
   *
   * @returns false where the messages are no longer ours to hold.
   */
  private async isRoom(parts: readonly Part[], room: PromiseWithResolvers<undefined>): Promise<boolean> {
    const hasRoom = room.promise.then(() => true);
    for (;;) {
      if (!parts.every(({ batch }) => batch.isLive())) return false;
      if (await Promise.race([hasRoom, delay(HOLD_LOOK_MS, false)])) return true;
    }
  }

  /** One request for all that was handled in the meantime. */
  private commitSoon(batch: LiveBatch): void {
    this.latest = batch;
    this.committing ??= setTimeout(() => {
      this.committing = undefined;
      void this.latest?.commitResolved();
    }, COMMIT_MS).unref();
  }

  private read(chunk: readonly IncomingMessage[], contract: TopicContract): ReceivedEvent[] {
    const events: ReceivedEvent[] = [];
    chunk.forEach((message, at) => {
      try {
        const event = readMessage(message, contract);
        if (event === undefined) this.gauges.skipped.inc({ topic: contract.name });
        else events.push(event);
      } catch (cause) {
        throw new UnreadableMessage(at, { cause });
      }
    });
    return events;
  }

  /**
   * A worker's answer: commit what it took before it acts.
   *
   * @returns what it did not take.
   */
  private async settleTaken(
    topic: string,
    parts: readonly Part[],
    { taken, afterCommit }: NonNullable<BatchResult>,
  ): Promise<readonly Part[]> {
    let left = taken;
    const shares = parts.map((part) => {
      const share = Math.min(left, part.events.length);
      left -= share;
      const rest = part.events.slice(share);
      return { ...part, share, rest, next: rest[0]?.offset ?? part.chunk.nextOffset };
    });
    const isCommitted = await LiveBatch.commit(shares.filter(({ share }) => share > 0));
    for (const { batch, share, next } of shares) {
      if (!isCommitted) batch.leave();
      else if (share > 0) batch.resolveOffset(before(next));
    }
    if (!isCommitted) this.gauges.lostCommits.inc({ topic });
    afterCommit(isCommitted);
    if (!isCommitted) return [];
    return shares
      .filter(({ rest }) => rest.length > 0)
      .map(({ batch, chunk, rest, next }) => ({
        batch,
        chunk: { ...chunk, firstOffset: next },
        events: rest,
      }));
  }

  private faultOf(error: unknown): Fault {
    if (isNestAnswer(error)) {
      this.options.logger.error(
        'consumer.handler-errors-are-hidden: the microservice lacks its error filter',
      );
      return 'transient';
    }
    return this.options.faultOf(error);
  }

  private park(batch: LiveBatch, failures: number, error: unknown): void {
    const { topic, partition } = batch;
    const { name, code } = errorPlace(error);
    this.options.logger.warn({ topic, partition, failures, error: name, code }, 'consumer.waiting');
    this.gauges.waits.inc({ topic });
    this.paused.pause(topic, partition, 'parked', () => {
      batch.pause();
    });
    const waitMs = Math.min(MAX_PARKED_MS, 250 * 2 ** Math.min(failures - 3, 4));
    void this.pause(waitMs).then(() => {
      this.paused.unpark(topic, partition);
    });
  }

  private refuse(batch: LiveBatch): void {
    const { topic, partition } = batch;
    this.options.logger.error({ topic, partition }, 'consumer.too-many-dead-letters');
    this.paused.pause(topic, partition, 'refused', () => {
      batch.pause();
    });
  }

  private resumeAtClient(topic: string, partition: number): void {
    try {
      this.consumer?.resume([{ topic: this.options.kafka.topicPrefix + topic, partitions: [partition] }]);
    } catch {
      // Not running: a consumer that starts has nothing paused.
    }
  }

  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.closing.signal }).catch(() => undefined);
  }
}

async function resultOf(answer: unknown): Promise<BatchResult> {
  const settled: unknown = await answer;
  const value: unknown = isObservable(settled)
    ? await lastValueFrom(settled, { defaultValue: undefined })
    : settled;
  return value as BatchResult;
}

/** What Nest's default filter puts in place of a handler's error. */
function isNestAnswer(error: unknown): boolean {
  return (
    !(error instanceof Error) &&
    typeof error === 'object' &&
    error !== null &&
    'status' in error &&
    'message' in error
  );
}

/** Names and codes only: an error's message can quote data. */
function errorPlace(error: unknown): { readonly name: string; readonly code?: string } {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code } = error as { readonly code?: unknown };
  return { name: error.name, ...(typeof code === 'string' && { code }) };
}

function after(offset: string): string {
  return String(BigInt(offset) + 1n);
}

function before(offset: string): string {
  return String(BigInt(offset) - 1n);
}

class ConsumerMetrics {
  readonly deadLetters: Counter<'topic' | 'code'>;
  readonly skipped: Counter<'topic'>;
  readonly lostCommits: Counter<'topic'>;
  readonly waits: Counter<'topic'>;
  private readonly events: Counter<'topic'>;
  private readonly handlerSeconds: Histogram<'topic'>;

  constructor(registry: Registry) {
    const metrics = new Metrics(registry);
    this.deadLetters = metrics.counter('heddle_dead_letters_total', 'Messages set aside.', ['topic', 'code']);
    this.skipped = metrics.counter(
      'heddle_consumer_skipped_total',
      'Events of a version that is newer than this process.',
      ['topic'],
    );
    this.lostCommits = metrics.counter(
      'heddle_consumer_lost_commits_total',
      'Batches that a worker took and had to forget, as their offsets were not committed.',
      ['topic'],
    );
    this.waits = metrics.counter(
      'heddle_consumer_waits_total',
      'Tries of a partition that ended with a fault which waiting can mend.',
      ['topic'],
    );
    this.events = metrics.counter('heddle_consumer_events_total', 'Events handled.', ['topic']);
    this.handlerSeconds = metrics.histogram(
      'heddle_consumer_handler_duration_seconds',
      'Duration of a handler, per chunk.',
      ['topic'],
      [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
    );
  }

  handled(topic: string, events: number, seconds: number): void {
    this.events.inc({ topic }, events);
    this.handlerSeconds.observe({ topic }, seconds);
  }
}
