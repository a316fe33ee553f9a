import { describe, expect, it } from '@jest/globals';

import { readDocument } from './document-facts.js';

const hashOf = (document: string): string =>
  readDocument({ recipeId: 'A', document }, { url: new URL('https://hub.example'), hosts: new Set() }).sha256;

describe('what a recipe document says', () => {
  it('is the same in another order and with other spaces', () => {
    expect(hashOf('{"id":"A","n":1.0}')).toBe(hashOf('{ "n": 1, "id": "A" }'));
  });

  it('is something else where a number differs, however long it is', () => {
    expect(hashOf('{"id":"A","n":12345678901234567890}')).not.toBe(
      hashOf('{"id":"A","n":12345678901234567891}'),
    );
    expect(hashOf('{"id":"A","n":9007199254740993}')).not.toBe(hashOf('{"id":"A","n":9007199254740992}'));
  });
});
