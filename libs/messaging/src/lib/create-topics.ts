import { setTimeout as delay } from 'node:timers/promises';

import { DEAD_LETTER_RETENTION_MS, deadLetterTopic } from '@heddle/contracts';
import type { Admin, ITopicConfig } from 'kafkajs';
import type { Logger } from 'pino';

import { createClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';
import { kafkaErrorType } from './kafka-error.js';
import type { TopicContract } from './topic-contract.js';

export interface CreateTopicsOptions {
  readonly kafka: KafkaOptions;
  readonly logger: Logger;
  /** Default: 3 as soon as three brokers exist, else 1. */
  readonly replicationFactor?: number;
  /** Instead of the catalogue's count, for small installations and tests. */
  readonly partitions?: number;
  /** Ends the wait for Kafka. */
  readonly signal?: AbortSignal;
}

const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
/** A dead letter is its message and a few headers more. */
const MAX_DEAD_LETTER_BYTES = 9 * 1024 * 1024;
const RETRY_MS = 1_000;

/**
 * Creates what is missing of the catalogue, dead-letter topics included, and leaves what exists as it is. Safe to
 * run again and by several processes at once. Waits for Kafka.
 */
export async function createTopics(
  catalogue: readonly TopicContract[],
  options: CreateTopicsOptions,
): Promise<void> {
  const { kafka } = createClient(options.kafka, options.logger);
  for (;;) {
    const admin = kafka.admin({ retry: { retries: 3 } });
    try {
      await admin.connect();
      await createMissing(admin, catalogue, options);
      return;
    } catch (error) {
      options.logger.warn({ code: kafkaErrorType(error) }, 'topics.waiting');
      await delay(RETRY_MS, undefined, options.signal && { signal: options.signal });
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

async function createMissing(
  admin: Admin,
  catalogue: readonly TopicContract[],
  options: CreateTopicsOptions,
): Promise<void> {
  const existing = new Set(await admin.listTopics());
  const { brokers } = await admin.describeCluster();
  const replicationFactor = options.replicationFactor ?? (brokers.length >= 3 ? 3 : 1);
  const topics = catalogue
    .flatMap((contract) => specsOf(contract, replicationFactor, options))
    .filter(({ topic }) => !existing.has(topic));
  if (topics.length === 0) return;
  try {
    await admin.createTopics({ topics, waitForLeaders: true });
  } catch (error) {
    // Another process was faster with some of them: the next round creates the rest.
    options.logger.debug({ code: kafkaErrorType(error) }, 'topics.contended');
    throw error;
  }
  options.logger.info({ created: topics.length, replication_factor: replicationFactor }, 'topics.created');
}

function specsOf(
  { name, partitions, retentionMs }: TopicContract,
  replicationFactor: number,
  options: CreateTopicsOptions,
): ITopicConfig[] {
  const spec = (topic: string, count: number, retention: number, maxBytes: number): ITopicConfig => ({
    topic: options.kafka.topicPrefix + topic,
    numPartitions: count,
    replicationFactor,
    configEntries: [
      { name: 'cleanup.policy', value: 'delete' },
      { name: 'retention.ms', value: String(retention) },
      { name: 'max.message.bytes', value: String(maxBytes) },
      { name: 'min.insync.replicas', value: replicationFactor >= 3 ? '2' : '1' },
    ],
  });
  return [
    spec(name, options.partitions ?? partitions, retentionMs, MAX_MESSAGE_BYTES),
    spec(deadLetterTopic(name), 1, DEAD_LETTER_RETENTION_MS, MAX_DEAD_LETTER_BYTES),
  ];
}
