import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import type { Counter, Registry } from 'prom-client';

import { kafkaErrorType } from './kafka-error.js';
import { Metrics } from './metrics.js';
import type { Offsets, OffsetSource } from './offset-reader.js';

export interface GroupProgressOptions {
  /** Made anew after each failure. */
  readonly source: () => OffsetSource;
  readonly topicPrefix: string;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly pollMs?: number;
}

const LAG = 'heddle_consumer_lag_messages';
const POLL_MS = 2_000;
/** Retention takes hours: its edge is asked for in every so many polls. */
const POLLS_PER_LOW = 10;

interface PartitionPosition {
  readonly partition: number;
  /** First offset that can still be read, and the one that the next message gets. */
  readonly low: bigint;
  readonly end: bigint;
  /** -1: the group has never committed. */
  readonly committed: bigint;
}

interface TopicProgress {
  /** The ends at the poll before. */
  ends: ReadonlyMap<number, bigint>;
  polledAt: number;
  caughtUpSince: number | undefined;
  readonly overtaken: Set<number>;
}

/** Messages that the group of this process has not committed yet, by topic; topics of which that is not known now are missing. */
export async function readConsumerLag(metrics: Registry): Promise<Record<string, number>> {
  const gauge = metrics.getSingleMetric(LAG);
  if (!(gauge instanceof Gauge)) return {};
  const { values } = await gauge.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels['topic']), value]));
}

/**
 * Follows how far a whole group is, by asking the brokers every two seconds.
 *
 * With steady traffic no group ever stands exactly at the end. So it counts as caught up while it has committed all
 * that stood in the topic one poll before.
 */
export class GroupProgress {
  private readonly closing = new AbortController();
  private readonly topics = new Map<string, TopicProgress>();
  private readonly lag: Gauge<'topic'>;
  private readonly overtaken: Counter<'topic'>;
  private readonly pollMs: number;
  private source: OffsetSource | undefined;
  private lows: Offsets = new Map();
  private pollsLeft = 0;
  private polling: Promise<void> | undefined;

  constructor(private readonly options: GroupProgressOptions) {
    this.pollMs = options.pollMs ?? POLL_MS;
    const metrics = new Metrics(options.metrics);
    this.lag = metrics.gauge(LAG, 'Messages that the group has not committed yet.', ['topic']);
    this.overtaken = metrics.counter(
      'heddle_consumer_retention_overtaken_total',
      'Partitions whose retention deleted messages before the group had read them.',
      ['topic'],
    );
  }

  start(topics: readonly string[]): void {
    this.polling ??= this.poll(topics);
  }

  async stop(): Promise<void> {
    this.closing.abort();
    await this.polling;
    await this.disconnect();
  }

  caughtUpSince(topic: string): number | undefined {
    const progress = this.topics.get(topic);
    // An answer that is several polls old says nothing about now.
    if (progress === undefined || performance.now() - progress.polledAt > this.pollMs * 3) return undefined;
    return progress.caughtUpSince;
  }

  private async poll(topics: readonly string[]): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      try {
        await this.ask(topics);
      } catch (error) {
        this.options.logger.debug({ code: kafkaErrorType(error) }, 'consumer.progress.unknown');
        this.topics.clear();
        // An old figure would look like one of now.
        this.lag.reset();
        await this.disconnect();
      }
      await delay(this.pollMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async ask(topics: readonly string[]): Promise<void> {
    const full = topics.map((topic) => this.options.topicPrefix + topic);
    const source = await this.connected(full);
    const askedAt = performance.now();
    // Committed first: what is committed after the ends were read must not look like being at the end.
    const committed = await source.committed();
    const ends = await source.ends();
    if (this.pollsLeft <= 0) {
      this.lows = await source.lows();
      this.pollsLeft = POLLS_PER_LOW;
    }
    this.pollsLeft -= 1;
    topics.forEach((topic, index) => {
      const name = full[index] ?? topic;
      const positions = [...(ends.get(name) ?? [])].map(([partition, end]) => ({
        partition,
        low: this.lows.get(name)?.get(partition) ?? 0n,
        end,
        committed: committed.get(name)?.get(partition) ?? -1n,
      }));
      this.note(topic, askedAt, positions);
    });
  }

  private note(topic: string, askedAt: number, partitions: readonly PartitionPosition[]): void {
    const before = this.topics.get(topic);
    const isCaughtUp = partitions.every(({ partition, low, end, committed }) => {
      const read = committed < low ? low : committed;
      return read >= end || read >= (before?.ends.get(partition) ?? end);
    });
    const overtaken = before?.overtaken ?? new Set<number>();
    for (const { partition, low, committed } of partitions) {
      const isOvertaken = committed >= 0n && committed < low;
      if (isOvertaken && !overtaken.has(partition)) {
        overtaken.add(partition);
        this.overtaken.inc({ topic });
        this.options.logger.error(
          { topic, partition, committed: String(committed), first_readable: String(low) },
          'consumer.retention-overtaken',
        );
      }
      if (!isOvertaken) overtaken.delete(partition);
    }
    const lag = partitions.reduce((sum, { low, end, committed }) => sum + (end - max(low, committed)), 0n);
    this.lag.set({ topic }, Number(lag));
    this.topics.set(topic, {
      ends: new Map(partitions.map(({ partition, end }) => [partition, end])),
      polledAt: askedAt,
      caughtUpSince: isCaughtUp ? (before?.caughtUpSince ?? askedAt) : undefined,
      overtaken,
    });
  }

  private async connected(topics: readonly string[]): Promise<OffsetSource> {
    if (this.source !== undefined) return this.source;
    const source = this.options.source();
    this.source = source;
    this.pollsLeft = 0;
    await source.connect(topics);
    return source;
  }

  private async disconnect(): Promise<void> {
    const { source } = this;
    this.source = undefined;
    await Promise.race([source?.close().catch(() => undefined), delay(500, undefined, { ref: false })]);
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
