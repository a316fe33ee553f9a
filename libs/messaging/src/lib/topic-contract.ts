import type { z } from 'zod';

/** What this library needs of a catalogue entry; `TopicSpec` of the contracts is one. */
export interface TopicContract {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  /** `ce_type` -> contract of the value. */
  readonly types: ReadonlyMap<string, z.ZodType>;
}
