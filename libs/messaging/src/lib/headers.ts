/** Headers of a dead letter: where its message stood, who set it aside, and why. */
export const ORIGIN_TOPIC = 'origin-topic';
export const ORIGIN_PARTITION = 'origin-partition';
export const ORIGIN_OFFSET = 'origin-offset';
export const DEAD_LETTER_GROUP = 'dead-letter-group';
export const DEAD_LETTER_CODE = 'dead-letter-code';
export const DEAD_LETTER_WORDS = 'dead-letter-words';
export const DEAD_LETTER_AT = 'dead-letter-at';
/** The value was too large for the dead-letter topic; the original still stands at its origin until its retention ends. */
export const DEAD_LETTER_VALUE_OMITTED = 'dead-letter-value-omitted';
/** On a record of a dead-letter topic that tells of a replay: the offset of the dead letter. */
export const REPLAY_OF = 'dead-letter-replay-of';
/** On a replayed message: the dead letter that it comes from, `<offset>`. */
export const REPLAYED_FROM = 'dead-letter-offset';

/** What a replay leaves behind. The origin stays. */
export const DEAD_LETTER_HEADERS: ReadonlySet<string> = new Set([
  DEAD_LETTER_GROUP,
  DEAD_LETTER_CODE,
  DEAD_LETTER_WORDS,
  DEAD_LETTER_AT,
  DEAD_LETTER_VALUE_OMITTED,
]);
