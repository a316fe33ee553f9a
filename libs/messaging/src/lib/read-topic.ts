import { randomUUID } from 'node:crypto';

import type { Logger } from 'pino';

import type { IncomingMessage } from './events.js';
import { PATIENT_RETRY, createClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';

/**
 * Everything that a topic holds at this moment, by partition and offset. For tools and tests: it is all kept in
 * memory, and a group of its own comes and goes.
 */
export async function readTopic(
  topic: string,
  { kafka: options, logger }: { readonly kafka: KafkaOptions; readonly logger: Logger },
): Promise<readonly IncomingMessage[]> {
  const { kafka } = createClient(options, logger);
  const name = options.topicPrefix + topic;
  const groupId = `${options.topicPrefix}read.${randomUUID()}`;
  const admin = kafka.admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(name);
    const ends = new Map(
      offsets
        .filter(({ low, high }) => BigInt(high) > BigInt(low))
        .map(({ partition, high }) => [partition, BigInt(high)]),
    );
    if (ends.size === 0) return [];
    const found: IncomingMessage[] = [];
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, retry: PATIENT_RETRY });
    const done = Promise.withResolvers<undefined>();
    try {
      await consumer.connect();
      await consumer.subscribe({ topic: name, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachMessage: ({ partition, message }) => {
          const end = ends.get(partition);
          if (end === undefined) return Promise.resolve();
          found.push({
            topic,
            partition,
            offset: message.offset,
            key: message.key?.toString(),
            headers: Object.fromEntries(
              Object.entries(message.headers ?? {}).map(([header, value]) => [header, String(value)]),
            ),
            value: message.value ?? new Uint8Array(),
          });
          if (BigInt(message.offset) + 1n >= end) ends.delete(partition);
          if (ends.size === 0) done.resolve(undefined);
          return Promise.resolve();
        },
      });
      await done.promise;
    } finally {
      await consumer.disconnect();
      await admin.deleteGroups([groupId]).catch(() => undefined);
    }
    return found.sort((a, b) => a.partition - b.partition || Number(BigInt(a.offset) - BigInt(b.offset)));
  } finally {
    await admin.disconnect();
  }
}
