import { describe, expect, it } from '@jest/globals';

import { MAX_INLINE_CHARACTERS, OfferedFile } from '@heddle/contracts';

import { order, recipe } from '../../test/harness.js';

import { cancelledFileSet, orderFileSet, recipeFileSet } from './file-set.js';

const everything = { recipe: true, ticket: true, production: true, preview: true, attachment: true };

describe('the file set', () => {
  it('holds each recipe that is used once, however many lines use it', () => {
    const { files } = orderFileSet(order({ recipes: ['A', 'B', 'A'] }), everything);
    expect(files.map(({ name }) => name)).toEqual([
      '1022_ID_6182665224482_R_A_Recipe.json',
      '1022_ID_6182665224482_R_A_Production-Front.dst',
      '1022_ID_6182665224482_R_B_Recipe.json',
      '1022_ID_6182665224482_R_B_Production-Front.dst',
    ]);
    for (const file of files) expect(OfferedFile.safeParse(file).success).toBe(true);
  });

  it('leaves out lines with quantity 0 and kinds that the integration does not want', () => {
    const given = order({ recipes: ['A', 'B'] });
    const items = given.items.map((item) => (item.recipeId === 'B' ? { ...item, itemQuantity: 0 } : item));
    const { files } = orderFileSet({ ...given, items }, { ...everything, production: false });
    expect(files.map(({ name }) => name)).toEqual(['1022_ID_6182665224482_R_A_Recipe.json']);
  });

  it('names what has not come', () => {
    expect(orderFileSet(order({ waiting: ['X', 'X', 'Y'] }), everything).missing).toEqual(['X', 'Y']);
  });

  it('takes a linked recipe whose file list was left out for one that has not come', () => {
    const given = order({ recipes: ['A', 'B', 'B', 'C'] });
    const leftOut = new Set([1, 3]);
    const items = given.items.map((item, index) =>
      leftOut.has(index) ? { ...item, recipe: { ...item.recipe, files: [] } } : item,
    );
    const { files, missing } = orderFileSet({ ...given, items }, everything);
    expect(files).toHaveLength(4);
    expect(missing).toEqual(['C']);
  });

  it('gives a file the same name whatever else is included', () => {
    const twice = recipe('A');
    const files = [...twice.files, { ...twice.files[1]!, kind: 'preview' as const }];
    const all = recipeFileSet({ ...twice, files }, everything).files.map(({ name }) => name);
    const some = recipeFileSet({ ...twice, files }, { ...everything, production: false }).files;
    expect(all).toEqual(['A-Recipe.json', 'A-Production-Front.dst', 'A-Production-Front-2.dst']);
    expect(some.map(({ name }) => name)).toEqual(['A-Recipe.json', 'A-Production-Front-2.dst']);
  });

  it('refuses a recipe document that is not pinned to its content', () => {
    const [file] = recipe('A').files;
    expect(() => recipeFileSet(recipe('A', { files: [{ ...file!, sha256: null }] }), everything)).toThrow(
      TypeError,
    );
  });

  it('sends the order document alone for a cancelled order, within the size of an offer', () => {
    const small = order({ status: 'cancelled' });
    expect(cancelledFileSet(small).files).toMatchObject([
      {
        name: '1022_ID_6182665224482_Cancelled.json',
        source: { kind: 'inline', text: JSON.stringify(small) },
      },
    ]);
    const large = order({ recipes: Array.from({ length: 1_000 }, (_, n) => `R${String(n)}`) });
    const [file] = cancelledFileSet(large).files;
    const text = file?.source.kind === 'inline' ? file.source.text : '';
    expect(text.length).toBeLessThanOrEqual(MAX_INLINE_CHARACTERS);
    expect(JSON.parse(text)).toMatchObject({ orderNumber: '1022', items: { length: 1_000 } });
  });
});
