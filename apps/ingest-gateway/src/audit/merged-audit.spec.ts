import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import type { AuditEntry } from '@heddle/contracts';

import { mergedAudit } from './merged-audit.js';
import type { AuditSource } from './merged-audit.js';

const FILTERS = ['test'];

function entryAt(minute: number, index: number): AuditEntry {
  return {
    auditId: `0195f0c2-0000-7000-8000-${String(minute).padStart(6, '0')}${String(index).padStart(6, '0')}`,
    at: new Date(minute * 60_000).toISOString(),
    actor: 'key:x',
    action: 'x',
    subject: 'x',
    details: {},
  };
}

/** Newest first; its cursors name the last entry shown, as a service's own do. */
function sourceOf(entries: AuditEntry[]): AuditSource {
  return ({ limit, cursor }) => {
    const from = cursor === undefined ? 0 : entries.findIndex(({ auditId }) => auditId === cursor) + 1;
    const items = entries.slice(from, from + limit);
    const isLast = from + limit >= entries.length;
    return Promise.resolve({ items, nextCursor: isLast ? null : (items.at(-1)?.auditId ?? null) });
  };
}

async function readAll(sources: readonly AuditSource[], limit: number): Promise<AuditEntry[]> {
  const found: AuditEntry[] = [];
  let cursor: string | undefined;
  do {
    const page = await mergedAudit(sources, { limit, cursor, filters: FILTERS });
    expect(page.items.length).toBeLessThanOrEqual(limit);
    found.push(...page.items);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

describe('an audit of several parts', () => {
  it('shows every entry once, newest first, at any page size', async () => {
    const minutes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 15 });
    await fc.assert(
      fc.asyncProperty(minutes, minutes, fc.integer({ min: 1, max: 12 }), async (one, two, limit) => {
        const parts = [one, two].map((part, of) =>
          part.toSorted((a, b) => b - a).map((minute, index) => entryAt(minute, of * 1_000 + index)),
        );
        const found = await readAll(parts.map(sourceOf), limit);
        expect(found.map(({ at }) => at)).toEqual(
          found
            .map(({ at }) => at)
            .toSorted()
            .toReversed(),
        );
        expect(new Set(found.map(({ auditId }) => auditId))).toEqual(
          new Set(parts.flat().map(({ auditId }) => auditId)),
        );
        expect(found).toHaveLength(parts.flat().length);
      }),
    );
  });

  it('neither skips nor repeats while new entries come', async () => {
    const one = Array.from({ length: 9 }, (_, index) => entryAt(100 - 2 * index, index));
    const two = Array.from({ length: 9 }, (_, index) => entryAt(99 - 2 * index, 1_000 + index));
    const before = new Set([...one, ...two].map(({ auditId }) => auditId));
    let minute = 200;
    const busy: AuditSource = (page) => {
      one.unshift(entryAt((minute += 1), minute));
      return sourceOf(one)(page);
    };
    const found = await readAll([busy, sourceOf(two)], 4);
    expect(found.map(({ auditId }) => auditId).filter((id) => before.has(id))).toHaveLength(before.size);
    expect(new Set(found.map(({ auditId }) => auditId)).size).toBe(found.length);
  });
});
