import canonicalize from 'canonicalize';

import type { ManifestFile, RecipeReceivedV1 } from '@heddle/contracts';

import type { Hub } from '../hub.js';
import type { DocumentFacts } from './fold-recipes.js';
import { listedFiles, sha256Of, textIn, withUploads } from './manifest.js';
import type { ListedFile } from './manifest.js';

/** What a document says by itself. */
export interface ReadDocument extends Omit<DocumentFacts, 'files'> {
  readonly listed: readonly ListedFile[];
}

/**
 * @throws {SyntaxError} when the text is not JSON. The gateway has seen to that; whatever else writes to the
 * topic finds its message among the dead letters.
 */
export function readDocument(
  { recipeId, document: text }: Pick<RecipeReceivedV1, 'recipeId' | 'document'>,
  hub: Hub,
): ReadDocument {
  const document = JSON.parse(text) as unknown;
  const textSha256 = sha256Of(text);
  return {
    // Integers beyond 2^53 look alike once they are parsed: then only the same text is the same document.
    sha256: isExact(text) ? sha256Of(canonicalize(document) ?? '') : textSha256,
    textSha256,
    name: textIn(document, 'name') ?? null,
    styleCode: textIn(document, 'styleCode') ?? null,
    listed: listedFiles(document, { recipeId, text, sha256: textSha256 }, hub),
  };
}

/** With the files that were uploaded for the recipe. */
export function factsOf(
  { listed, ...facts }: ReadDocument,
  uploads: readonly ManifestFile[],
  place: { readonly recipeId: string; readonly hub: Hub },
): DocumentFacts {
  return { ...facts, files: withUploads(listed, uploads, place) };
}

/** Only these can write an integer beyond 2^53; looking at each number of a document costs some six times its parsing. */
const LONG_NUMBER = /\d{16}|\d[eE]/;

/** Whether no integer of the JSON text loses anything when it is parsed. */
function isExact(text: string): boolean {
  if (!LONG_NUMBER.test(text)) return true;
  const inexact: unknown[] = [];
  JSON.parse(text, (_name, value: unknown) => {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) inexact.push(value);
    return value;
  });
  return inexact.length === 0;
}
