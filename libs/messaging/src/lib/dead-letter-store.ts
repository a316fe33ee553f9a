import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { deadLetterTopic } from '@heddle/contracts';
import type { Admin, KafkaMessage } from 'kafkajs';
import type { Logger } from 'pino';

import {
  DEAD_LETTER_AT,
  DEAD_LETTER_CODE,
  DEAD_LETTER_GROUP,
  DEAD_LETTER_HEADERS,
  DEAD_LETTER_VALUE_OMITTED,
  DEAD_LETTER_WORDS,
  ORIGIN_OFFSET,
  ORIGIN_PARTITION,
  ORIGIN_TOPIC,
  REPLAYED_FROM,
  REPLAY_OF,
} from './headers.js';
import { createClient } from './kafka-client.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaOptions } from './kafka-config.js';
import type { KafkaPublisher } from './kafka-publisher.js';
import { headersOf } from './live-batch.js';
import type { TopicContract } from './topic-contract.js';

export interface DeadLetterStoreOptions {
  readonly kafka: KafkaOptions;
  readonly catalogue: readonly TopicContract[];
  readonly publisher: KafkaPublisher;
  readonly logger: Logger;
}

/** What is known of a message that was set aside. Its value is only in {@link DeadLetterStore.read}. */
export interface DeadLetter {
  /** Where it was consumed. */
  readonly topic: string;
  /** Of the dead letter, in `<topic>.dead-letter`; with `topic` its name. */
  readonly offset: string;
  readonly origin: { readonly partition: number; readonly offset: string };
  /** Consumer group that set it aside. */
  readonly group: string;
  readonly code: string;
  readonly words: string;
  /** ISO 8601. */
  readonly at: string;
  readonly key: string;
  /** As the message came: `ce_id`, `ce_type`, `tenant`, `traceparent` ... */
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  /** ISO 8601, one per replay. */
  readonly replayedAt: readonly string[];
}

export interface DeadLetterPage {
  /** Newest first. */
  readonly items: readonly DeadLetter[];
  /** For the next, older page; undefined at the end. */
  readonly before?: string;
}

export type ReplayResult =
  | { readonly ok: true; readonly partition: number; readonly offset: string }
  /** `VALUE_OMITTED`: it was too large to be kept. `NOT_PUBLISHED`: Kafka did not acknowledge in time. */
  | { readonly ok: false; readonly reason: 'NOT_FOUND' | 'VALUE_OMITTED' | 'NOT_PUBLISHED' };

interface Records {
  /** Dead letters and the notes of their replays, by rising offset. */
  readonly letters: readonly Found[];
  readonly replays: ReadonlyMap<string, readonly string[]>;
}

interface Found {
  readonly offset: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly value?: Buffer;
}

/** Records looked at for one page; dead letters are rare, and a replay is noted behind its letter. */
const PAGE_RECORDS = 1_000;
const REPLAY_RECORDS = 4_000;
const READ_MS = 20_000;
const REPLAY_MS = 10_000;

/** Lists, reads and replays dead letters. For people: each read joins a consumer group of its own for a moment. */
export class DeadLetterStore {
  private readonly client: KafkaClient;

  constructor(private readonly options: DeadLetterStoreOptions) {
    this.client = createClient(options.kafka, options.logger);
  }

  /** How many records each dead-letter topic holds, notes of replays included. */
  async counts(): Promise<readonly { readonly topic: string; readonly records: number }[]> {
    return await this.withAdmin((admin) =>
      Promise.all(
        this.options.catalogue.map(async ({ name }) => {
          const { low, high } = await this.boundsOf(admin, name);
          return { topic: name, records: high - low };
        }),
      ),
    );
  }

  async list(
    topic: string,
    { limit = 100, before }: { readonly limit?: number; readonly before?: string } = {},
  ): Promise<DeadLetterPage> {
    const { low, high } = await this.withAdmin((admin) => this.boundsOf(admin, topic));
    const end = Math.min(high, before === undefined ? high : Number(before));
    const from = Math.max(low, end - PAGE_RECORDS);
    const { letters, replays } = await this.records(topic, from, Math.min(high, end + REPLAY_RECORDS), false);
    const older = letters.filter(({ offset }) => Number(offset) < end);
    const page = older.slice(-limit);
    const first = page.length < older.length ? page[0]?.offset : String(from);
    const hasMore = page.length < older.length || from > low;
    return {
      items: page.map((found) => letterOf(topic, found, replays)).toReversed(),
      ...(hasMore && first !== undefined && { before: first }),
    };
  }

  async read(
    topic: string,
    offset: string,
  ): Promise<{ readonly letter: DeadLetter; readonly value: Buffer } | undefined> {
    const { low, high } = await this.withAdmin((admin) => this.boundsOf(admin, topic));
    const at = Number(offset);
    if (!Number.isSafeInteger(at) || at < low || at >= high) return undefined;
    const { letters, replays } = await this.records(topic, at, Math.min(high, at + REPLAY_RECORDS), true);
    const found = letters.find((letter) => letter.offset === offset);
    return found && { letter: letterOf(topic, found, replays), value: found.value ?? Buffer.alloc(0) };
  }

  /** Publishes the message again, to where it was consumed, with the offset at which it first stood. */
  async replay(topic: string, offset: string): Promise<ReplayResult> {
    const found = await this.read(topic, offset);
    if (found === undefined) return { ok: false, reason: 'NOT_FOUND' };
    const { letter, value } = found;
    if (letter.headers[DEAD_LETTER_VALUE_OMITTED] !== undefined)
      return { ok: false, reason: 'VALUE_OMITTED' };

    const kept = Object.entries(letter.headers).filter(([name]) => !DEAD_LETTER_HEADERS.has(name));
    const headers = { ...Object.fromEntries(kept), [REPLAYED_FROM]: offset };
    const { publisher, logger } = this.options;
    const [result] = await publisher.publishMessages([{ topic, key: letter.key, headers, value }], {
      deadlineMs: REPLAY_MS,
    });
    if (result?.ok !== true) return { ok: false, reason: 'NOT_PUBLISHED' };
    const note = { [REPLAY_OF]: offset, [DEAD_LETTER_AT]: new Date().toISOString() };
    await publisher.publishMessages(
      [{ topic: deadLetterTopic(topic), key: letter.key, headers: note, value: '' }],
      { deadlineMs: REPLAY_MS },
    );
    logger.info({ topic, offset, code: letter.code }, 'dead-letter.replayed');
    return { ok: true, partition: result.partition, offset: result.offset };
  }

  private async withAdmin<T>(ask: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.client.kafka.admin({ retry: { retries: 3 } });
    this.client.watch(admin);
    try {
      await admin.connect();
      return await ask(admin);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  private async boundsOf(
    admin: Admin,
    topic: string,
  ): Promise<{ readonly low: number; readonly high: number }> {
    const [partition] = await admin.fetchTopicOffsets(this.fullName(topic));
    return { low: Number(partition?.low ?? 0), high: Number(partition?.high ?? 0) };
  }

  private fullName(topic: string): string {
    return this.options.kafka.topicPrefix + deadLetterTopic(topic);
  }

  /** Reads offsets `from` to `to` (exclusive). Without `withFirstValue` no value is kept in memory. */
  private async records(topic: string, from: number, to: number, withFirstValue: boolean): Promise<Records> {
    const letters: Found[] = [];
    const replays = new Map<string, string[]>();
    if (from >= to) return { letters, replays };

    const note = (message: KafkaMessage): void => {
      const headers = headersOf(message);
      const replayOf = headers[REPLAY_OF];
      if (replayOf !== undefined) {
        replays.set(replayOf, [...(replays.get(replayOf) ?? []), headers[DEAD_LETTER_AT] ?? '']);
        return;
      }
      const { offset, value } = message;
      const isWanted = withFirstValue && Number(offset) === from && value !== null;
      letters.push({
        offset,
        key: message.key?.toString() ?? '',
        headers,
        sizeBytes: value?.length ?? 0,
        ...(isWanted && { value }),
      });
    };
    await this.consumeRange(this.fullName(topic), from, to, note);
    return { letters, replays };
  }

  private async consumeRange(
    topic: string,
    from: number,
    to: number,
    note: (message: KafkaMessage) => void,
  ): Promise<void> {
    const groupId = `${this.options.kafka.topicPrefix}dead-letter-reader.${randomUUID()}`;
    const consumer = this.client.kafka.consumer({
      groupId,
      maxWaitTimeInMs: 100,
      allowAutoTopicCreation: false,
      retry: { retries: 3, restartOnFailure: () => Promise.resolve(false) },
    });
    this.client.watch(consumer);
    const done = Promise.withResolvers<undefined>();
    let next = from;
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      done.reject(payload.error);
    });
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatch: ({ batch }) => {
          for (const message of batch.messages) {
            const offset = Number(message.offset);
            if (offset < next || offset >= to) continue;
            note(message);
            next = offset + 1;
          }
          if (Number(batch.lastOffset()) >= to - 1) done.resolve(undefined);
          return Promise.resolve();
        },
      });
      consumer.seek({ topic, partition: 0, offset: String(from) });
      const timer = new AbortController();
      const late = delay(READ_MS, undefined, { signal: timer.signal }).then(
        () => {
          throw new Error(`reading ${topic}: no answer`);
        },
        () => undefined,
      );
      await Promise.race([done.promise, late]).finally(() => {
        timer.abort();
      });
    } finally {
      done.promise.catch(() => undefined);
      await consumer.disconnect().catch(() => undefined);
      await this.withAdmin((admin) => admin.deleteGroups([groupId])).catch(() => undefined);
    }
  }
}

function letterOf(topic: string, found: Found, replays: Records['replays']): DeadLetter {
  const { offset, key, headers, sizeBytes } = found;
  return {
    topic: headers[ORIGIN_TOPIC] ?? topic,
    offset,
    origin: { partition: Number(headers[ORIGIN_PARTITION] ?? -1), offset: headers[ORIGIN_OFFSET] ?? '' },
    group: headers[DEAD_LETTER_GROUP] ?? '',
    code: headers[DEAD_LETTER_CODE] ?? '',
    words: headers[DEAD_LETTER_WORDS] ?? '',
    at: headers[DEAD_LETTER_AT] ?? '',
    key,
    headers,
    sizeBytes,
    replayedAt: replays.get(offset) ?? [],
  };
}
