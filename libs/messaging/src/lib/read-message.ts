import { ContractError, wordsOf } from './contract-error.js';
import type { IncomingMessage, ReceivedEvent } from './events.js';
import { ORIGIN_OFFSET } from './headers.js';
import type { TopicContract } from './topic-contract.js';

/** Types of ours that this release does not know: a newer version that is published beside a known one. */
const OURS = 'heddle.';

/**
 * @returns undefined for a version of ours that is newer than this process.
 * @throws {ContractError}
 */
export function readMessage(message: IncomingMessage, contract: TopicContract): ReceivedEvent | undefined {
  const { headers, key } = message;
  const type = headers['ce_type'];
  if (type === undefined) throw new ContractError('NO_TYPE', 'ce_type is missing');
  const schema = contract.types.get(type);
  if (schema === undefined) {
    if (type.startsWith(OURS)) return undefined;
    throw new ContractError('UNKNOWN_TYPE', 'ce_type is not of this topic');
  }
  if (key === undefined || key === '') throw new ContractError('NO_KEY', 'the key is missing');
  const id = required(headers, 'ce_id');
  const source = required(headers, 'ce_source');
  const time = required(headers, 'ce_time');
  const tenant = required(headers, 'tenant');

  const parsed = schema.safeParse(jsonOf(message.value));
  if (!parsed.success) throw new ContractError('CONTRACT', wordsOf(parsed.error, schema));
  const { ce_subject: subject, traceparent, [ORIGIN_OFFSET]: originOffset } = headers;
  return {
    topic: message.topic,
    partition: message.partition,
    offset: message.offset,
    ...(originOffset !== undefined && { originOffset }),
    key,
    id,
    type,
    source,
    time,
    ...(subject !== undefined && { subject }),
    tenant,
    ...(traceparent !== undefined && { traceparent }),
    data: parsed.data,
    headers,
  };
}

function required(headers: Readonly<Record<string, string>>, name: string): string {
  const value = headers[name];
  if (value === undefined || value === '') throw new ContractError('NO_HEADER', `${name} is missing`);
  return value;
}

function jsonOf(value: Uint8Array): unknown {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new ContractError('NOT_JSON', 'the value is not JSON');
  }
}
