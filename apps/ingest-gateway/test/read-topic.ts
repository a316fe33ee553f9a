import { expect } from '@jest/globals';

import { readTopic as readWholeTopic } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';
import { eventually } from '@heddle/testing';

export interface TopicMessage {
  readonly key: string | undefined;
  readonly value: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a topic holds, once it holds `atLeast` messages. */
export async function readTopic(
  prefix: string,
  topic: string,
  atLeast: number,
  brokers = process.env['TEST_KAFKA_BROKERS'] ?? '',
): Promise<readonly TopicMessage[]> {
  const logger = createLogger({ service: 'test', level: 'error' });
  return await eventually(
    async () => {
      const messages = await readWholeTopic(topic, {
        kafka: { brokers: brokers.split(','), clientId: 'test', topicPrefix: prefix },
        logger,
      });
      expect(messages.length).toBeGreaterThanOrEqual(atLeast);
      return messages.map(({ key, value, headers }) => ({
        key,
        value: Buffer.from(value).toString(),
        headers,
      }));
    },
    { withinMs: 15_000 },
  );
}
