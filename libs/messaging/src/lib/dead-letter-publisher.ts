import { deadLetterTopic } from '@heddle/contracts';
import type { Logger } from 'pino';
import type { Counter } from 'prom-client';

import type { DeadLetters } from './batch-consumer.js';
import { UnreadableMessage } from './batch-consumer.js';
import { ContractError } from './contract-error.js';
import type { IncomingMessage } from './events.js';
import {
  DEAD_LETTER_AT,
  DEAD_LETTER_CODE,
  DEAD_LETTER_GROUP,
  DEAD_LETTER_VALUE_OMITTED,
  DEAD_LETTER_WORDS,
  ORIGIN_OFFSET,
  ORIGIN_PARTITION,
  ORIGIN_TOPIC,
} from './headers.js';
import type { KafkaPublisher } from './kafka-publisher.js';
import type { OutgoingMessage } from './publish-call.js';

const TRY_MS = 10_000;

export interface DeadLetterPublisherOptions {
  readonly groupId: string;
  readonly publisher: KafkaPublisher;
  readonly logger: Logger;
  readonly counter: Counter<'topic' | 'code'>;
  /** Ends the wait for Kafka; nothing is resolved then. */
  readonly signal: AbortSignal;
}

/** Sets messages aside in `<topic>.dead-letter`, with their origin and our reason. */
export class DeadLetterPublisher implements DeadLetters {
  constructor(private readonly options: DeadLetterPublisherOptions) {}

  async publish(message: IncomingMessage, error: unknown): Promise<boolean> {
    const { code, words } = reasonOf(error);
    const { topic, partition, offset } = message;
    const letter = this.letterOf(message, code, words);
    let isKept = await this.send(letter);
    if (isKept === 'refused') {
      const headers = { ...letter.headers, [DEAD_LETTER_VALUE_OMITTED]: 'true' };
      isKept = await this.send({ ...letter, headers, value: Buffer.alloc(0) });
    }
    if (isKept === 'closed') return false;
    this.options.counter.inc({ topic, code });
    this.options.logger.error(
      { topic, partition, offset, code, words, kept: isKept },
      'consumer.dead-letter',
    );
    return true;
  }

  private letterOf(message: IncomingMessage, code: string, words: string): OutgoingMessage {
    const { topic, partition, offset, headers, key, value } = message;
    return {
      topic: deadLetterTopic(topic),
      key: key ?? '',
      headers: {
        ...headers,
        // A dead letter that was replayed and failed again keeps where it first stood.
        [ORIGIN_TOPIC]: topic,
        [ORIGIN_PARTITION]: headers[ORIGIN_PARTITION] ?? String(partition),
        [ORIGIN_OFFSET]: headers[ORIGIN_OFFSET] ?? offset,
        [DEAD_LETTER_GROUP]: this.options.groupId,
        [DEAD_LETTER_CODE]: code,
        [DEAD_LETTER_WORDS]: words,
        [DEAD_LETTER_AT]: new Date().toISOString(),
      },
      value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    };
  }

  private async send(letter: OutgoingMessage): Promise<'kept' | 'refused' | 'closed'> {
    while (!this.options.signal.aborted) {
      const [result] = await this.options.publisher.publishMessages([letter], { deadlineMs: TRY_MS });
      if (result === undefined || result.ok) return 'kept';
      if (result.error.permanent) return 'refused';
      if (result.error.code === 'CLOSED') return 'closed';
      this.options.logger.warn(
        { topic: letter.topic, code: result.error.code },
        'consumer.dead-letter.waiting',
      );
    }
    return 'closed';
  }
}

interface Reason {
  readonly code: string;
  readonly words: string;
}

/** Our codes and the names of errors. Never an error's message: databases quote values in theirs. */
function reasonOf(error: unknown): Reason {
  const cause = error instanceof UnreadableMessage ? error.cause : error;
  if (cause instanceof ContractError) return { code: cause.code, words: cause.words };
  if (!(cause instanceof Error)) return { code: 'HANDLER', words: 'the handler raised no error object' };
  const details = cause as Partial<Record<'code' | 'sqlState' | 'constraint', unknown>>;
  const parts = [cause.name, details.code, details.sqlState, details.constraint].filter(
    (part) => typeof part === 'string',
  );
  return { code: 'HANDLER', words: `the handler raised ${parts.join(' ')}` };
}
