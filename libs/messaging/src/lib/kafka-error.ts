/**
 * What Kafka answers to a message that it will never take. All else is waited out: a missing topic or a missing
 * permission is our deployment, not this message.
 */
const PERMANENT_TYPES: ReadonlySet<string> = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TIMESTAMP',
  'INVALID_RECORD',
]);

/** The protocol's name of an error, or the class that kafkajs gave it. Never its text. */
export function kafkaErrorType(error: unknown): string {
  let current = error;
  let name = 'UNKNOWN';
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    const { type, cause } = current as { type?: unknown; cause?: unknown };
    if (typeof type === 'string') return type;
    name = current.name;
    current = cause;
  }
  return name;
}

/** True where a broker answered, false where the way to it failed. */
export function isAnswer(error: unknown): boolean {
  return /^[A-Z_]+$/.test(kafkaErrorType(error));
}

export function isPermanent(error: unknown): boolean {
  return PERMANENT_TYPES.has(kafkaErrorType(error));
}

/** The group has given out its partitions anew, or is about to. */
const REBALANCE_TYPES: ReadonlySet<string> = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'FENCED_INSTANCE_ID',
  'NOT_COORDINATOR_FOR_GROUP',
]);

export function isRebalance(error: unknown): boolean {
  return REBALANCE_TYPES.has(kafkaErrorType(error));
}

/** Raised by our own code or by a defect of the client: the same will happen again. */
const DEFECTS: ReadonlySet<string> = new Set([
  'TypeError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'KafkaJSNotImplemented',
  'KafkaJSInvariantViolation',
  'KafkaJSInvalidVarIntError',
  'KafkaJSInvalidLongError',
  'KafkaJSUnsupportedMagicByteInMessageSet',
]);

/** True where a fresh consumer can go on: Kafka was away, moved or busy. */
export function isOutage(error: unknown): boolean {
  return !DEFECTS.has(kafkaErrorType(error));
}
