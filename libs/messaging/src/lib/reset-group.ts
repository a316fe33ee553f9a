import type { Logger } from 'pino';

import { createClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';

export interface ResetGroupOptions {
  readonly kafka: KafkaOptions;
  readonly logger: Logger;
  /** Without the installation's prefix. All its members must be stopped. */
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Reading goes on with the first message that was written at or after this instant. */
  readonly at: Date;
}

/** @throws when a member of the group still runs, or Kafka is away. */
export async function resetGroup(options: ResetGroupOptions): Promise<void> {
  const { kafka, logger, at } = options;
  const admin = createClient(kafka, logger).kafka.admin({ retry: { retries: 3 } });
  const groupId = kafka.topicPrefix + options.groupId;
  try {
    await admin.connect();
    for (const name of options.topics) {
      const topic = kafka.topicPrefix + name;
      const partitions = await admin.fetchTopicOffsetsByTimestamp(topic, at.getTime());
      await admin.setOffsets({ groupId, topic, partitions });
      logger.warn({ group: options.groupId, topic: name, at: at.toISOString() }, 'consumer.group-reset');
    }
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
