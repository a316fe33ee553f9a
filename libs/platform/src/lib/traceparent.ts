import { randomFillSync } from 'node:crypto';

const FORM = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

/** W3C Trace Context. Source: https://www.w3.org/TR/trace-context/ */
export function newTraceparent(): string {
  return `00-${randomHex(16)}-${randomHex(8)}-01`;
}

/** The next span of the same trace, or of a new one when `parent` is missing or malformed. */
export function childOf(parent: string | undefined): string {
  const match = parent === undefined ? null : FORM.exec(parent);
  return match === null ? newTraceparent() : `00-${match[1] ?? ''}-${randomHex(8)}-${match[2] ?? '01'}`;
}

/** Undefined for a malformed value. */
export function traceIdOf(traceparent: string | undefined): string | undefined {
  return traceparent === undefined ? undefined : FORM.exec(traceparent)?.[1];
}

/** Random bytes are drawn in blocks: one system call serves many spans. */
const pool = Buffer.alloc(4_096);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const text = pool.toString('hex', used, used + bytes);
  used += bytes;
  return text;
}
