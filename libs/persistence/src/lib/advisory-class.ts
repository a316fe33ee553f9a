import { createHash } from 'node:crypto';

/** First key of the advisory locks of a schema: positive, so that it reads the same in pg_locks. */
export function advisoryClass(schema: string): number {
  return createHash('sha256').update(`heddle:${schema}`).digest().readUInt32BE() & 0x7fffffff;
}
