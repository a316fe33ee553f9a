import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { MAX_PLACEMENTS, MAX_VIEWS, readRecipe } from './recipe-content.js';

const placementOf = (entry: unknown) => readRecipe({ components: [entry] }).placements[0]!;

describe('what a ticket says of a recipe', () => {
  it('names placement and component by their codes where they have no names', () => {
    const entry = { code: 'P01', component: { code: 'P01-RED', placementIndependentCode: 'RED' } };
    expect(placementOf(entry)).toEqual({
      placement: 'P01',
      placementCode: null,
      component: 'RED',
      componentCode: 'P01-RED',
      colour: null,
      texts: [],
      details: [],
    });
    const named = { code: 'P01', name: 'Peak', component: { code: 'P01-RED', name: 'Red panel' } };
    expect(placementOf(named)).toMatchObject({
      placement: 'Peak',
      placementCode: 'P01',
      component: 'Red panel',
      componentCode: 'P01-RED',
    });
  });

  it('finds colours and texts wherever they stand, and lists every other parameter', () => {
    const placement = placementOf({
      code: 'P01',
      parameters: { text: 'Go Bears!', font: { name: 'Varsity', sizeMm: 24 }, mirrored: false },
      component: { code: 'X', color: { name: 'Cardinal', hex: '#B01020' }, threads: ['1147', '1124'] },
    });
    expect(placement.colour).toEqual({ names: ['Cardinal', '#B01020'], hex: '#b01020' });
    expect(placement.texts).toEqual(['Go Bears!']);
    expect(placement.details).toEqual([
      'parameters font name: Varsity',
      'parameters font sizeMm: 24',
      'parameters mirrored: false',
      'threads: 1147',
      'threads: 1124',
    ]);
  });

  it.each([
    ['#abc', '#aabbcc'],
    ['AABBCC', '#aabbcc'],
    ['#aabbccdd', '#aabbcc'],
    ['red', null],
    ['abc', null],
  ])('shows the colour %s as %s', (colour, hex) => {
    expect(placementOf({ code: 'P', component: { colour } }).colour).toEqual({ names: [colour], hex });
  });

  it('counts what it does not list', () => {
    const recipe = readRecipe({
      components: Array.from({ length: MAX_PLACEMENTS + 7 }, () => ({ code: 'P' })),
      views: Array.from({ length: MAX_VIEWS + 3 }, () => ({ code: 'V' })),
    });
    expect([recipe.placements.length, recipe.morePlacements]).toEqual([MAX_PLACEMENTS, 7]);
    expect([recipe.views.length, recipe.moreViews]).toEqual([MAX_VIEWS, 3]);
  });

  it('takes away what would steer the page: control characters and direction marks', () => {
    expect(readRecipe({ name: ' a\u0000b\u202Ec\ud800 ' }).name).toBe('abc\ufffd');
    expect(placementOf({ component: { text: 'one\r\ntwo\tthree' } }).texts).toEqual(['one\ntwo three']);
    expect(readRecipe({ name: 'x'.repeat(5_000) }).name).toHaveLength(1_001);
  });

  it('holds for any JSON whatever', () => {
    const odd = fc.record(
      {
        name: fc.jsonValue(),
        created: fc.oneof(fc.string(), fc.jsonValue()),
        components: fc.oneof(
          fc.jsonValue(),
          fc.array(
            fc.oneof(
              fc.jsonValue(),
              fc.record({ code: fc.jsonValue(), component: fc.jsonValue(), colour: fc.jsonValue() }),
            ),
          ),
        ),
        views: fc.array(
          fc.oneof(fc.jsonValue(), fc.record({ code: fc.jsonValue(), previewPng: fc.jsonValue() })),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(odd, fc.jsonValue()), (document) => {
        const texts = JSON.stringify(readRecipe(document));
        expect(texts.isWellFormed()).toBe(true);
        expect(texts).not.toMatch(/\\u00(?:0[0-9b-f]|1)/);
      }),
      { numRuns: 300 },
    );
  });
});
