import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { IncomingMessage } from './events.js';
import { PATIENT_RETRY, createClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';

export interface FollowedMessage extends IncomingMessage {
  /** When the broker or the producer wrote it, in milliseconds since 1970. */
  readonly timestampMs: number;
}

export interface FollowTopicsOptions {
  readonly kafka: KafkaOptions;
  readonly logger: Logger;
  readonly topics: readonly string[];
  /** From the oldest message that Kafka still holds; otherwise only what comes from now on. */
  readonly fromBeginning: boolean;
  readonly onMessage: (message: FollowedMessage) => void;
}

export interface TopicFollower {
  close(): Promise<void>;
}

/** A new broker makes the topic of its groups when the first one comes; until then kafkajs ends every member for good. */
const JOIN_WITHIN_MS = 30_000;
const JOIN_AGAIN_MS = 250;

/**
 * Shows messages as they come, for people and tests: commits nothing and disturbs no group. Resolves once it has joined.
 */
export async function followTopics(options: FollowTopicsOptions): Promise<TopicFollower> {
  const giveUp = performance.now() + JOIN_WITHIN_MS;
  for (;;) {
    try {
      return await follow(options);
    } catch (error) {
      const isNew = error instanceof Error && error.name === 'KafkaJSGroupCoordinatorNotFound';
      if (!isNew || performance.now() > giveUp) throw error;
      await delay(JOIN_AGAIN_MS);
    }
  }
}

async function follow(options: FollowTopicsOptions): Promise<TopicFollower> {
  const { topics, fromBeginning, onMessage } = options;
  const { topicPrefix } = options.kafka;
  const { kafka, watch } = createClient(options.kafka, options.logger);
  const consumer = kafka.consumer({
    groupId: `${topicPrefix}follow.${randomUUID()}`,
    maxWaitTimeInMs: 100,
    retry: PATIENT_RETRY,
  });
  watch(consumer);
  const { promise: joined, resolve, reject } = Promise.withResolvers<undefined>();
  // Heard of before anybody waits for it.
  joined.catch(() => undefined);
  consumer.on(consumer.events.GROUP_JOIN, () => {
    resolve(undefined);
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) reject(payload.error);
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: topics.map((topic) => topicPrefix + topic), fromBeginning });
    await consumer.run({
      autoCommit: false,
      eachMessage: ({ topic, partition, message }) => {
        onMessage({
          topic: topic.slice(topicPrefix.length),
          partition,
          offset: message.offset,
          key: message.key?.toString(),
          headers: Object.fromEntries(
            Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]),
          ),
          value: message.value ?? new Uint8Array(),
          timestampMs: Number(message.timestamp),
        });
        return Promise.resolve();
      },
    });
    await joined;
  } catch (error) {
    await consumer.disconnect();
    throw error;
  }
  return { close: () => consumer.disconnect() };
}
