import { createRequire } from 'node:module';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { decodeProduceAnswers, encodeGzippedProduce, encodeProduce } from './produce-request.js';
import type { PartitionMessages } from './produce-request.js';

const require = createRequire(import.meta.url);
const theirs = require('kafkajs/src/protocol/requests/produce/v7/request.js') as (request: object) => object;
const framed = require('kafkajs/src/protocol/request.js') as (request: object) => Promise<{ buffer: Buffer }>;
const { decode } = require('kafkajs/src/protocol/requests/produce/v7/response.js') as {
  decode: (body: Buffer) => Promise<{
    topics: readonly { topicName: string; partitions: readonly Answer[] }[];
  }>;
};

interface Answer {
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: string;
}

const TIMESTAMP = 1_700_000_000_000;
const FIXED = { clientId: 'service', timeoutMs: 5_000, timestamp: TIMESTAMP } as const;

async function byKafkajs(partitions: readonly PartitionMessages[], compression: number): Promise<Buffer> {
  const topicData = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, ofTopic]) => ({
    topic,
    partitions: ofTopic.map(({ partition, messages }) => ({
      partition,
      firstSequence: 0,
      messages: messages.map((message) => ({ ...message, timestamp: String(TIMESTAMP) })),
    })),
  }));
  const request = theirs({ acks: -1, timeout: 5_000, compression, topicData });
  const { buffer } = await framed({ correlationId: 0, clientId: 'service', request });
  return buffer;
}

const text = fc.string({ unit: 'grapheme', maxLength: 300 });
const messages = fc.array(
  fc.record({
    key: text,
    value: fc.oneof(
      text,
      fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    ),
    headers: fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), text, {
      maxKeys: 9,
      noNullPrototype: true,
    }),
  }),
  { minLength: 1, maxLength: 40 },
);
const partitions = fc.uniqueArray(
  fc.record({ topic: fc.constantFrom('a.b', 'order.submitted', 'é'), partition: fc.nat(500), messages }),
  { minLength: 1, maxLength: 5, selector: ({ topic, partition }) => `${topic}:${String(partition)}` },
);

describe('encodeProduce', () => {
  it('writes the bytes that kafkajs writes', async () => {
    await fc.assert(
      fc.asyncProperty(partitions, async (all) => {
        const request = { ...FIXED, partitions: all };
        expect(encodeProduce(request).equals(await byKafkajs(all, 0))).toBe(true);
        const packed = await encodeGzippedProduce(request);
        expect(packed.equals(await byKafkajs(all, 1))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('writes large messages as kafkajs does', async () => {
    const all = [1, 70_000, 3_000_000].map((size) => ({
      key: 'k',
      headers: {},
      value: Buffer.alloc(size, 7),
    }));
    const one = [{ topic: 't', partition: 0, messages: all }];
    expect(encodeProduce({ ...FIXED, partitions: one }).equals(await byKafkajs(one, 0))).toBe(true);
  });
});

describe('decodeProduceAnswers', () => {
  const answers = fc.dictionary(
    fc.string({ minLength: 1, maxLength: 12 }),
    fc.array(
      fc.record({
        partition: fc.nat(1_000),
        errorCode: fc.integer({ min: -1, max: 100 }),
        baseOffset: fc.bigInt({ min: -1n, max: 2n ** 62n }).map(String),
      }),
      { maxLength: 4 },
    ),
    { maxKeys: 4, noNullPrototype: true },
  );

  it('reads what kafkajs reads', async () => {
    await fc.assert(
      fc.asyncProperty(answers, async (topics) => {
        const body = answerOf(topics);
        const { topics: read } = await decode(body);
        expect(decodeProduceAnswers(body)).toEqual(
          read.flatMap(({ topicName, partitions: of }) =>
            of.map(({ partition, errorCode, baseOffset }) => ({
              topic: topicName,
              partition,
              errorCode,
              baseOffset,
            })),
          ),
        );
      }),
    );
  });

  function answerOf(topics: Readonly<Record<string, readonly Answer[]>>): Buffer {
    const body = Buffer.alloc(2_000);
    let at = body.writeInt32BE(Object.keys(topics).length, 0);
    for (const [topic, ofTopic] of Object.entries(topics)) {
      at = body.writeInt16BE(Buffer.byteLength(topic), at);
      at += body.write(topic, at);
      at = body.writeInt32BE(ofTopic.length, at);
      for (const { partition, errorCode, baseOffset } of ofTopic) {
        at = body.writeInt32BE(partition, at);
        at = body.writeInt16BE(errorCode, at);
        at = body.writeBigInt64BE(BigInt(baseOffset), at);
        // The time of the append, -1 for the records' own, and the first offset that the partition still has.
        at = body.writeBigInt64BE(-1n, at);
        at = body.writeBigInt64BE(0n, at);
      }
    }
    return body;
  }
});
