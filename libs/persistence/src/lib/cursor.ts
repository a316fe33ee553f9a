import { createHash } from 'node:crypto';

import { ProblemError } from '@heddle/platform';
import type { z } from 'zod';

import { identifier } from './identifier.js';

/** The cursor was not made by us, or for another list or other filters. Answered with 400. */
export class CursorError extends ProblemError {
  constructor() {
    const message = 'the cursor was not made for this list and these filters';
    super(400, message, { errors: [{ pointer: '?cursor', code: 'pattern', message }] });
  }
}

/** Where a page ended: the values of its sort columns, the last one unique. */
export type CursorPosition = readonly (string | number | null)[];

/**
 * An opaque text that names the end of a page. It stays valid while rows come and go, as it holds a position
 * and not a count.
 *
 * @param filters whatever selects the rows: the list's name, the tenant and the query's filters.
 */
export function encodeCursor(position: CursorPosition, filters: unknown): string {
  const text = JSON.stringify(position);
  return Buffer.from(`${checksum(text, filters)}${text}`).toString('base64url');
}

/**
 * @param schema of the position, so that nobody's text reaches a statement as something else.
 * @throws {CursorError} for anything that `encodeCursor` did not make with these filters.
 */
export function decodeCursor<T>(cursor: string, filters: unknown, schema: z.ZodType<T>): T {
  const plain = Buffer.from(cursor, 'base64url').toString();
  const text = plain.slice(CHECKSUM_LENGTH);
  if (plain.slice(0, CHECKSUM_LENGTH) !== checksum(text, filters)) throw new CursorError();
  const parsed = schema.safeParse(parsedJson(text));
  if (!parsed.success) throw new CursorError();
  return parsed.data;
}

/**
 * A page out of a query that asked for one row more than the page holds.
 *
 * @param positionOf the sort columns of a row.
 */
export function toPage<T>(
  rows: readonly T[],
  page: {
    readonly limit: number;
    readonly filters: unknown;
    readonly positionOf: (row: T) => CursorPosition;
  },
): { items: T[]; nextCursor: string | null } {
  const items = rows.slice(0, page.limit);
  const last = items.at(-1);
  const more = rows.length > page.limit && last !== undefined;
  return { items, nextCursor: more ? encodeCursor(page.positionOf(last), page.filters) : null };
}

const CHECKSUM_LENGTH = 16;

function checksum(position: string, filters: unknown): string {
  const bound = JSON.stringify([position, withSortedMembers(filters)]);
  return createHash('sha256').update(bound).digest('base64url').slice(0, CHECKSUM_LENGTH);
}

/** The same filters in another order are the same filters, and an absent one is one that is undefined. */
function withSortedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedMembers);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, withSortedMembers(member)]),
  );
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * SQL for an instant in a cursor. A `Date` has milliseconds only: rows of one millisecond would be skipped or
 * shown twice.
 */
export function sortInstant(column: string): string {
  return `to_char(${identifier(column)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}
