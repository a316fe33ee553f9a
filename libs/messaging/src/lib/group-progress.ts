import { setTimeout as delay } from 'node:timers/promises';

import type { Admin } from 'kafkajs';
import type { Logger } from 'pino';
import type { Counter, Gauge, Registry } from 'prom-client';

import { kafkaErrorType } from './kafka-error.js';
import { Metrics } from './metrics.js';

export interface GroupProgressOptions {
  readonly admin: () => Admin;
  readonly watch: (admin: Admin) => void;
  /** With the installation's prefix. */
  readonly groupId: string;
  readonly topicPrefix: string;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly pollMs?: number;
}

const POLL_MS = 2_000;

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
  private admin: Admin | undefined;
  private polling: Promise<void> | undefined;

  constructor(private readonly options: GroupProgressOptions) {
    this.pollMs = options.pollMs ?? POLL_MS;
    const metrics = new Metrics(options.metrics);
    this.lag = metrics.gauge(
      'heddle_consumer_lag_messages',
      'Messages that the group has not committed yet.',
      ['topic'],
    );
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
        await this.disconnect();
      }
      await delay(this.pollMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async ask(topics: readonly string[]): Promise<void> {
    const { groupId, topicPrefix } = this.options;
    const admin = await this.connected();
    const askedAt = performance.now();
    const full = topics.map((topic) => topicPrefix + topic);
    // Committed first: what is committed after the ends were read must not look like being at the end.
    const groups = await admin.fetchOffsets({ groupId, topics: full });
    for (const topic of topics) {
      const name = topicPrefix + topic;
      const offsets = await admin.fetchTopicOffsets(name);
      const committed = new Map(
        groups
          .find((group) => group.topic === name)
          ?.partitions.map((at) => [at.partition, BigInt(at.offset)]),
      );
      this.note(
        topic,
        askedAt,
        offsets.map(({ partition, low, high }) => ({
          partition,
          low: BigInt(low),
          end: BigInt(high),
          committed: committed.get(partition) ?? -1n,
        })),
      );
    }
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

  private async connected(): Promise<Admin> {
    if (this.admin !== undefined) return this.admin;
    const admin = this.options.admin();
    this.options.watch(admin);
    this.admin = admin;
    await admin.connect();
    return admin;
  }

  private async disconnect(): Promise<void> {
    const { admin } = this;
    this.admin = undefined;
    await Promise.race([admin?.disconnect().catch(() => undefined), delay(500, undefined, { ref: false })]);
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
