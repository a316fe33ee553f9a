import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { FileName } from '@heddle/contracts';

import { cancelledFileName, deliveryFileName, fileSetNames } from './file-naming.js';
import type { FileSetOwner } from './file-naming.js';

const RECIPE = '999-63CHGJokGoxPfSba';

function anOrder(orderNumber: string, orderId: string | null): FileSetOwner & { order: object } {
  return { tenant: 'demo', channel: 'default', order: { orderNumber, orderId } };
}
const FEED: FileSetOwner = { tenant: 'demo', channel: 'default', order: null };

function named(
  name: string,
  mimeType = 'application/pdf',
): { recipeId: string; name: string; mimeType: string } {
  return { recipeId: RECIPE, name, mimeType };
}

const anyOwner = fc.record({
  tenant: fc.constantFrom('demo', 'acme'),
  channel: fc.constantFrom('default', 'shop'),
  order: fc.option(
    fc.record({
      orderNumber: fc.string({ unit: 'binary', minLength: 1, maxLength: 128 }),
      orderId: fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 128 })),
    }),
  ),
});
const anyFile = fc.record({
  recipeId: fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/),
  name: fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
    fc.constantFrom('Recipe.json', 'recipe.JSON', 'Production-Front.dst', 'CON', '..', '.', 'a/../b.pdf'),
  ),
  mimeType: fc.constantFrom('application/json', 'image/png; q=1', 'weird', ''),
});

describe('names of a file set', () => {
  it('follow the sample of the vendor', () => {
    expect(deliveryFileName(anOrder('1022', '6182665224482'), named('Ticket.pdf'))).toBe(
      '1022_ID_6182665224482_R_999-63CHGJokGoxPfSba_Ticket.pdf',
    );
  });

  it('put the order number in the place of a missing order id', () => {
    expect(deliveryFileName(anOrder('1022', null), named('Recipe.json'))).toBe(
      `1022_ID_1022_R_${RECIPE}_Recipe.json`,
    );
  });

  it('start with the recipe in the feed', () => {
    expect(deliveryFileName(FEED, named('Recipe.json'))).toBe(`${RECIPE}-Recipe.json`);
  });

  it('say that the order was cancelled', () => {
    expect(cancelledFileName(anOrder('1022', '77'))).toBe('1022_ID_77_Cancelled.json');
    expect(cancelledFileName(anOrder('10/22', null))).toMatch(/^10_22_ID_10_22_Cancelled-[0-9a-f]{8}\.json$/);
  });

  it('take the type from the content type where the name has none, else bin', () => {
    const names = fileSetNames(FEED, [
      named('photo', 'image/png'),
      named('thing', 'x/y'),
      named('v1.2 notes', 'text/plain'),
    ]);
    expect(names[0]).toBe(`${RECIPE}-photo.png`);
    expect(names[1]).toBe(`${RECIPE}-thing.bin`);
    expect(names[2]).toMatch(/v1\.2_notes-[0-9a-f]{8}\.txt$/);
  });

  it('number equal names before the type, also where only case differs', () => {
    expect(fileSetNames(FEED, [named('a.pdf'), named('A.pdf'), named('a.pdf'), named('a-2.pdf')])).toEqual([
      `${RECIPE}-a.pdf`,
      `${RECIPE}-A-2.pdf`,
      `${RECIPE}-a-3.pdf`,
      `${RECIPE}-a-2-2.pdf`,
    ]);
  });

  it('never start with a dot and never name a device', () => {
    expect(deliveryFileName(anOrder('.1', '2'), named('Recipe.json'))).toMatch(
      /^_1_ID_2_R_.*_Recipe-[0-9a-f]{8}\.json$/,
    );
    expect(deliveryFileName(anOrder('Aux.7', '2'), named('Recipe.json'))).toMatch(
      /^_Aux\.7_ID_.*-[0-9a-f]{8}\.json$/,
    );
  });

  it('tell apart orders whose parts read the same in a row', () => {
    const one = deliveryFileName(anOrder('1_ID_2', '3'), named('Recipe.json'));
    const other = deliveryFileName(anOrder('1', '2_ID_3'), named('Recipe.json'));
    expect(one).not.toBe(other);
  });

  it('tell apart orders of which cleaning leaves the same', () => {
    const name = (number: string): string => deliveryFileName(anOrder(number, null), named('Recipe.json'));
    expect(name('10/22')).not.toBe(name('10\\22'));
    const long = 'x'.repeat(128);
    expect(name(`${long}1`)).not.toBe(name(`${long}2`));
  });

  it('satisfy every target, are the same each time and differ within the set', () => {
    fc.assert(
      fc.property(anyOwner, fc.array(anyFile, { maxLength: 12 }), (owner, files) => {
        const names = fileSetNames(owner, files);
        expect(names.filter((name) => !FileName.safeParse(name).success)).toEqual([]);
        expect(names.filter((name) => /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name))).toEqual([]);
        expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(files.length);
        expect(fileSetNames(owner, files)).toEqual(names);
      }),
      { numRuns: 500 },
    );
  });

  it('are never shared by two orders', () => {
    const number = fc.stringMatching(/^[12_IDR ]{1,8}$/);
    const order = fc.record({ orderNumber: number, orderId: number });
    fc.assert(
      fc.property(order, order, (one, other) => {
        fc.pre(one.orderNumber !== other.orderNumber || one.orderId !== other.orderId);
        const name = (of: typeof one): string =>
          deliveryFileName(anOrder(of.orderNumber, of.orderId), named('R.json'));
        expect(name(one)).not.toBe(name(other));
      }),
      { numRuns: 2_000 },
    );
  });
});
