import { describe, expect, it } from '@jest/globals';

import { foldRecipes, recipeDocument } from './fold-recipes.js';
import type { RecipeHead, RecipeMessage } from './fold-recipes.js';

function message(offset: number, sha256: string, replayed = false, temporary = false): RecipeMessage {
  return {
    offset: BigInt(offset),
    replayed,
    traceparent: undefined,
    facts: { sha256, textSha256: sha256, name: null, styleCode: null, files: [] },
    data: {
      tenant: 'demo',
      channel: 'default',
      recipeId: 'R1',
      document: '{}',
      temporary,
      acceptedAt: '2026-01-02T03:04:05.000Z',
      requestId: 'r',
    },
  };
}

const placeholder: RecipeHead = {
  tenant: 'demo',
  recipeId: 'R1',
  version: 0,
  sha256: null,
  temporary: false,
  lastOffset: null,
};

describe('saving recipes', () => {
  it('creates once, updates with other content, and does nothing for the same again', () => {
    const result = foldRecipes(
      [placeholder],
      [message(0, 'a'), message(1, 'a'), message(2, 'b'), message(3, 'a'), message(4, 'a')],
    );
    expect(result.changes.map(({ topic, version }) => [topic, version])).toEqual([
      ['recipe.created', 1],
      ['recipe.updated', 2],
      ['recipe.updated', 3],
    ]);
    expect(result.heads).toMatchObject([{ version: 3, sha256: 'a', lastOffset: 4n, newest: { version: 3 } }]);
  });

  it('says when a temporary recipe becomes a permanent one, also of one that is known', () => {
    const saved = [true, true, false, false, true, false].map((temporary, offset) =>
      message(offset, String(offset), false, temporary),
    );
    const inOne = foldRecipes([placeholder], saved);
    expect(inOne.changes.map(({ becamePermanent }) => becamePermanent)).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
    ]);
    let heads: readonly RecipeHead[] = [placeholder];
    const oneByOne = saved.flatMap((each) => {
      const { changes, heads: next } = foldRecipes(heads, [each]);
      heads = next;
      return changes;
    });
    expect(oneByOne.map(({ becamePermanent }) => becamePermanent)).toEqual(
      inOne.changes.map(({ becamePermanent }) => becamePermanent),
    );
    const documents = inOne.changes.map((change) => recipeDocument(change, '2026-01-02T03:04:05.000Z'));
    expect(documents.map((document) => Object.hasOwn(document, 'becamePermanent'))).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
    ]);
  });

  it('remembers how new the same content is, so that an older replay loses', () => {
    const known = { ...placeholder, version: 1, sha256: 'a', lastOffset: 3n };
    const repeated = foldRecipes([known], [message(9, 'a')]);
    expect(repeated.changes).toEqual([]);
    expect(repeated.heads).toMatchObject([{ lastOffset: 9n, newest: undefined }]);
    const replayed = foldRecipes(repeated.heads, [message(5, 'b', true)]);
    expect(replayed).toMatchObject({ changes: [], heads: [], outdated: 1 });
    expect(foldRecipes([known], [message(5, 'b', true)]).changes).toHaveLength(1);
  });
});
