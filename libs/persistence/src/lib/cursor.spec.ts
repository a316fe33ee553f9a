import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';

import { CursorError, decodeCursor, encodeCursor, toPage } from './cursor.js';

const Position = z.tuple([z.string(), z.number().nullable()]);
const position = fc.tuple(fc.string(), fc.option(fc.integer()));
const filters = { list: 'orders', tenant: 'demo', status: 'open' };

describe('a cursor', () => {
  it('gives back the position that it was made of', () => {
    fc.assert(
      fc.property(position, fc.dictionary(fc.string(), fc.string()), (at, selected) => {
        expect(decodeCursor(encodeCursor(at, selected), selected, Position)).toEqual(at);
      }),
    );
  });

  it('is refused with other filters', () => {
    const cursor = encodeCursor(['a', 1], filters);
    expect(() => decodeCursor(cursor, { ...filters, status: 'cancelled' }, Position)).toThrow(CursorError);
    expect(() => decodeCursor(cursor, { ...filters, tenant: 'other' }, Position)).toThrow(CursorError);
  });

  it('does not mind the order of filters, nor one that is not set', () => {
    const cursor = encodeCursor(['a', 1], filters);
    const same = { status: 'open', channel: undefined, tenant: 'demo', list: 'orders' };
    expect(decodeCursor(cursor, same, Position)).toEqual(['a', 1]);
  });

  it('is refused when anything in it was changed', () => {
    const text = Buffer.from(encodeCursor(['1022', 7], filters), 'base64url');
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(text);
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(() => decodeCursor(changed.toString('base64url'), filters, Position)).toThrow(CursorError);
      }),
    );
  });

  it('answers any text that is none with the same error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeCursor(text, filters, Position)).toThrow(CursorError);
      }),
    );
  });

  it('is refused when its position is not what the list sorts by', () => {
    const cursor = encodeCursor(['a', 1], filters);
    expect(() => decodeCursor(cursor, filters, z.tuple([z.iso.datetime(), z.uuid()]))).toThrow(CursorError);
  });

  it('is a 400 that points at the query', () => {
    expect(new CursorError()).toMatchObject({ status: 400, options: { errors: [{ pointer: '?cursor' }] } });
  });
});

describe('toPage', () => {
  const page = { limit: 2, filters, positionOf: (row: number) => ['', row] };

  it('names no next page where the rows end', () => {
    expect(toPage([1, 2], page)).toEqual({ items: [1, 2], nextCursor: null });
    expect(toPage([], page)).toEqual({ items: [], nextCursor: null });
  });

  it('continues behind the last row that it shows', () => {
    const { items, nextCursor } = toPage([1, 2, 3], page);
    expect(items).toEqual([1, 2]);
    expect(decodeCursor(nextCursor ?? '', filters, Position)).toEqual(['', 2]);
  });
});
