import { z } from 'zod';

import type { AuditEntry } from '@heddle/contracts';
import { decodeCursor, encodeCursor } from '@heddle/persistence';

interface Page {
  readonly items: readonly AuditEntry[];
  readonly nextCursor: string | null;
}

/** One part of the audit, newest first. */
export type AuditSource = (page: { readonly limit: number; readonly cursor?: string }) => Promise<Page>;

/** Where a part goes on: at its newest entry, after its own cursor, or nowhere. */
const Place = z.union([
  z.strictObject({ at: z.literal('start') }),
  z.strictObject({ at: z.literal('cursor'), cursor: z.string() }),
  z.strictObject({ at: z.literal('end') }),
]);
type Place = z.infer<typeof Place>;

/** A cursor holds texts only: a place as one. */
const Places = z.array(z.string().transform((text) => Place.parse(JSON.parse(text))));

/**
 * One page out of several parts, newest first. Each part's cursors are its own business, so the page is merged from
 * whole pages, and what was not shown is asked for again.
 *
 * @throws {CursorError} for a cursor of another list.
 */
export async function mergedAudit(
  sources: readonly AuditSource[],
  {
    limit,
    cursor,
    filters,
  }: { readonly limit: number; readonly cursor?: string | undefined; readonly filters: unknown },
): Promise<Page> {
  const places =
    cursor === undefined
      ? sources.map((): Place => ({ at: 'start' }))
      : decodeCursor(cursor, filters, Places);
  const pages = await Promise.all(
    sources.map((source, index) => pageAt(source, placeAt(places, index), limit)),
  );
  const items = pages
    .flatMap(({ items: part }, source) => part.map((entry) => ({ entry, source })))
    .sort((a, b) => (a.entry.at === b.entry.at ? 0 : a.entry.at < b.entry.at ? 1 : -1))
    .slice(0, limit);
  const next = await Promise.all(
    sources.map((source, index) => {
      const shown = items.filter((item) => item.source === index).map(({ entry }) => entry);
      return placeAfter(source, placeAt(places, index), shown, pages[index] ?? END_PAGE);
    }),
  );
  return {
    items: items.map(({ entry }) => entry),
    nextCursor: next.every(({ at }) => at === 'end')
      ? null
      : encodeCursor(
          next.map((place) => JSON.stringify(place)),
          filters,
        ),
  };
}

const END_PAGE: Page = { items: [], nextCursor: null };

function placeAt(places: readonly Place[], index: number): Place {
  return places[index] ?? { at: 'end' };
}

async function pageAt(source: AuditSource, place: Place, limit: number): Promise<Page> {
  if (place.at === 'end') return END_PAGE;
  return await source({ limit, ...(place.at === 'cursor' ? { cursor: place.cursor } : {}) });
}

/** Behind the last entry that was shown. */
async function placeAfter(
  source: AuditSource,
  place: Place,
  shown: readonly AuditEntry[],
  page: Page,
): Promise<Place> {
  const last = shown.at(-1);
  if (shown.length === page.items.length) return afterPage(page);
  if (last === undefined || place.at === 'end') return place;
  const limit = shown.length;
  if (place.at === 'cursor') return afterPage(await source({ limit, cursor: place.cursor }));

  // New entries come before all others, so counting from the start goes wrong. Behind a cursor nothing moves.
  let before = await source({ limit: 1 });
  if (before.items[0]?.auditId === last.auditId) return afterPage(before);
  while (before.nextCursor !== null) {
    const cursor = before.nextCursor;
    const found = await source({ limit, cursor });
    const at = found.items.findIndex(({ auditId }) => auditId === last.auditId);
    if (at === found.items.length - 1 && at >= 0) return afterPage(found);
    if (at >= 0) return afterPage(await source({ limit: at + 1, cursor }));
    before = found;
  }
  return { at: 'end' };
}

function afterPage({ nextCursor }: Page): Place {
  return nextCursor === null ? { at: 'end' } : { at: 'cursor', cursor: nextCursor };
}
