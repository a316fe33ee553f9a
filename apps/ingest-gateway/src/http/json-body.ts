import { isUtf8 } from 'node:buffer';

import type { Fault } from '@heddle/contracts';
import { ProblemError, jsonPointer } from '@heddle/platform';

/** Deepest nesting that is accepted; PostgreSQL and JSON libraries downstream stop at various depths beyond it. */
export const MAX_DEPTH = 64;
/** Most faults of one answer: five for each of 1,000 associations. */
export const MAX_FAULTS = 5_000;
/** A longer name is left out of a pointer, which then ends at its object. */
const MAX_NAME_CHARACTERS = 128;

/** A body as it came and as it reads. */
export interface JsonBody {
  readonly bytes: Buffer;
  readonly text: string;
  /** Undefined for an empty body. */
  readonly value: unknown;
  /** What no part of Heddle could store later, wherever it stands. */
  readonly faults: readonly Fault[];
}

/**
 * Reads a JSON body.
 *
 * @throws {ProblemError} 400 for bytes that are not UTF-8 or not JSON. The engine's own words quote the body: they
 * go nowhere.
 */
export function readJsonBody(bytes: Buffer): JsonBody {
  if (bytes.length === 0) return { bytes, text: '', value: undefined, faults: [] };
  if (!isUtf8(bytes)) throw new ProblemError(400, 'the body is not UTF-8');
  const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const text = bytes.toString('utf8', start);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'the body is not JSON');
  }
  return { bytes, text, value, faults: unstorableParts(value, text) };
}

/**
 * Every `\u0000`, lone surrogate, nesting beyond 64 and number beyond a double. In valid UTF-8 the first two can only
 * come from an escape.
 */
function unstorableParts(value: unknown, text: string): readonly Fault[] {
  const walk: Walk = { faults: [], path: [], checksText: text.includes('\\u') };
  visit(walk, value, 1);
  return walk.faults;
}

/** Passed along: a closure for each request would cost more than the walk. */
interface Walk {
  readonly faults: Fault[];
  readonly path: (string | number)[];
  readonly checksText: boolean;
}

function visit(walk: Walk, part: unknown, depth: number): void {
  if (typeof part === 'string') {
    if (walk.checksText) checkText(walk, part, 'the text');
  } else if (typeof part === 'number') {
    if (!Number.isFinite(part)) report(walk, 'range', 'the number is beyond a double');
  } else if (typeof part === 'object' && part !== null) {
    if (depth > MAX_DEPTH) report(walk, 'range', `nesting must not exceed ${String(MAX_DEPTH)}`);
    else visitMembers(walk, part, depth);
  }
}

function visitMembers(walk: Walk, part: object, depth: number): void {
  const { path } = walk;
  const at = path.length;
  if (Array.isArray(part)) {
    for (let index = 0; index < part.length; index += 1) {
      path[at] = index;
      visit(walk, part[index], depth + 1);
    }
  } else {
    // Own members only, `__proto__` among them: JSON.parse makes it an ordinary one.
    for (const [name, member] of Object.entries(part)) {
      if (walk.checksText) checkText(walk, name, 'a member name');
      path[at] = name;
      visit(walk, member, depth + 1);
      path.length = at;
    }
  }
  path.length = at;
}

function checkText(walk: Walk, part: string, what: string): void {
  if (part.includes('\0')) report(walk, 'pattern', `${what} must not contain U+0000`);
  if (!part.isWellFormed()) report(walk, 'pattern', `${what} must not contain a lone surrogate`);
}

function report({ faults, path }: Walk, code: Fault['code'], message: string): void {
  if (faults.length < MAX_FAULTS) faults.push({ pointer: jsonPointer(pointable(path)), code, message });
}

/** A pointer must itself be storable, and short: it ends before a name that is not. */
function pointable(path: readonly (string | number)[]): readonly (string | number)[] {
  const end = path.findIndex(
    (name) =>
      typeof name === 'string' &&
      (name.length > MAX_NAME_CHARACTERS || name.includes('\0') || !name.isWellFormed()),
  );
  return end === -1 ? path : path.slice(0, end);
}
