import canonicalize from 'canonicalize';

import type { RecipeReceivedV1 } from '@heddle/contracts';

import type { DocumentFacts } from './fold-recipes.js';
import { manifestOf, sha256Of, textIn } from './manifest.js';

/**
 * @throws {SyntaxError} when the text is not JSON. The gateway has seen to that; whatever else writes to the
 * topic finds its message among the dead letters.
 */
export function factsOf({ recipeId, document: text }: RecipeReceivedV1, publicUrl: URL): DocumentFacts {
  const inexact: unknown[] = [];
  const document = JSON.parse(text, (_name, value: unknown) => {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) inexact.push(value);
    return value;
  }) as unknown;
  const textSha256 = sha256Of(text);
  return {
    // Integers beyond 2^53 look alike once they are parsed: then only the same text is the same document.
    sha256: inexact.length === 0 ? sha256Of(canonicalize(document) ?? '') : textSha256,
    textSha256,
    name: textIn(document, 'name') ?? null,
    styleCode: textIn(document, 'styleCode') ?? null,
    files: manifestOf(document, { recipeId, text, sha256: textSha256 }, publicUrl),
  };
}
