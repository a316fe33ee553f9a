import { randomBytes } from 'node:crypto';

/** For KAFKA_TOPIC_PREFIX: each suite has its own, so suites share one broker. */
export function uniqueTopicPrefix(): string {
  return `t${randomBytes(5).toString('hex')}.`;
}
