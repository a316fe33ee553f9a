import { z } from 'zod';

import { topicCatalogue } from '@heddle/contracts';
import { createTopics, kafkaConfig, kafkaOptions } from '@heddle/messaging';
import { createLogger, loadConfig } from '@heddle/platform';

const Config = z.object({
  ...kafkaConfig,
  TOPIC_PARTITIONS: z.coerce.number().int().min(1).max(1_000).optional(),
  /** Default: 3 as soon as three brokers exist, else 1. */
  TOPIC_REPLICATION_FACTOR: z.coerce.number().int().min(1).max(10).optional(),
});

/** One-shot: creates the topics that are missing, from the catalogue. Safe to repeat. */
const config = loadConfig(Config, process.env);
await createTopics(topicCatalogue, {
  kafka: kafkaOptions(config, 'topics'),
  logger: createLogger({ service: 'topics', level: 'info' }),
  ...(config.TOPIC_PARTITIONS !== undefined && { partitions: config.TOPIC_PARTITIONS }),
  ...(config.TOPIC_REPLICATION_FACTOR !== undefined && {
    replicationFactor: config.TOPIC_REPLICATION_FACTOR,
  }),
});
