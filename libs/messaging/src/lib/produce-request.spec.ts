import { createRequire } from 'node:module';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { decodeProduceAnswer, encodeGzippedProduce, encodeProduce } from './produce-request.js';
import type { WireMessage } from './produce-request.js';

const require = createRequire(import.meta.url);
const theirs = require('kafkajs/src/protocol/requests/produce/v7/request.js') as (request: object) => object;
const framed = require('kafkajs/src/protocol/request.js') as (request: object) => Promise<{ buffer: Buffer }>;
const { decode } = require('kafkajs/src/protocol/requests/produce/v7/response.js') as {
  decode: (body: Buffer) => Promise<{ topics: readonly object[] }>;
};

const TIMESTAMP = 1_700_000_000_000;
const FIXED = { clientId: 'service', timeoutMs: 5_000, timestamp: TIMESTAMP } as const;

async function byKafkajs(
  topic: string,
  partition: number,
  messages: readonly WireMessage[],
  compression: number,
) {
  const stamped = messages.map((message) => ({ ...message, timestamp: String(TIMESTAMP) }));
  const topicData = [{ topic, partitions: [{ partition, firstSequence: 0, messages: stamped }] }];
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
  { minLength: 1, maxLength: 80 },
);

describe('encodeProduce', () => {
  it('writes the bytes that kafkajs writes', async () => {
    await fc.assert(
      fc.asyncProperty(messages, fc.nat(500), async (all, partition) => {
        const request = { ...FIXED, topic: 'a.b', partition, messages: all };
        expect(encodeProduce(request).equals(await byKafkajs('a.b', partition, all, 0))).toBe(true);
        const packed = await encodeGzippedProduce(request);
        expect(packed.equals(await byKafkajs('a.b', partition, all, 1))).toBe(true);
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
    const ours = encodeProduce({ ...FIXED, topic: 't', partition: 0, messages: all });
    expect(ours.equals(await byKafkajs('t', 0, all, 0))).toBe(true);
  });
});

describe('decodeProduceAnswer', () => {
  function answer(topics: number, partitions: number, code = 0, offset = 0n): Buffer {
    const body = Buffer.alloc(64);
    let at = body.writeInt32BE(topics, 0);
    at = body.writeInt16BE(3, at);
    at += body.write('a.b', at);
    at = body.writeInt32BE(partitions, at);
    at = body.writeInt32BE(7, at);
    at = body.writeInt16BE(code, at);
    body.writeBigInt64BE(offset, at);
    return body;
  }

  it('reads what kafkajs reads', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: -1, max: 100 }),
        fc.bigInt({ min: -1n, max: 2n ** 62n }),
        async (code, offset) => {
          const body = answer(1, 1, code, offset);
          const { topics } = await decode(body);
          const ours = decodeProduceAnswer(body);
          expect(topics).toEqual([
            expect.objectContaining({
              topicName: ours?.topic,
              partitions: [
                expect.objectContaining({
                  partition: ours?.partition,
                  errorCode: ours?.errorCode,
                  baseOffset: ours?.baseOffset,
                }),
              ],
            }),
          ]);
          expect(ours).toEqual({ topic: 'a.b', partition: 7, errorCode: code, baseOffset: String(offset) });
        },
      ),
    );
  });

  it('takes an answer about no topic or no partition for none', () => {
    expect(decodeProduceAnswer(answer(0, 0))).toBeUndefined();
    expect(decodeProduceAnswer(answer(1, 0))).toBeUndefined();
  });
});
