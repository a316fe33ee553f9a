import { createHash } from 'node:crypto';

import { fileTypeOf } from '@heddle/destination-kit';
import { ManifestFile } from '@heddle/contracts';

/** Most files of one recipe; what a document lists beyond is left out. */
export const MAX_FILES = 250;
/** Longest view code that fits a manifest name with its prefix and type. */
const MAX_CODE_CHARACTERS = 900;
const MAX_URL_CHARACTERS = 8_192;

export interface RecipeText {
  readonly recipeId: string;
  /** As sent. */
  readonly text: string;
  /** Of the text, in hex. */
  readonly sha256: string;
}

/**
 * The files of a recipe. Source: wire/drive.md 2.2 and 3.2.
 *
 * Pure and total: the document is the customer's, any member of it may be missing or of another type. An entry
 * that cannot be read is left out, as an order must not stop at somebody's typing error.
 *
 * @param publicUrl of this hub. An address below its host is left out, and the next candidate taken: the hub
 * itself has no such files, and its workers refuse to fetch from it.
 */
export function manifestOf(document: unknown, recipe: RecipeText, publicUrl: URL): ManifestFile[] {
  const files: ManifestFile[] = [
    {
      name: 'Recipe.json',
      kind: 'recipe',
      mimeType: 'application/json',
      url: recipeUrl(publicUrl, recipe.recipeId, 'json'),
      sizeBytes: Buffer.byteLength(recipe.text),
      sha256: recipe.sha256,
    },
  ];
  const add = (name: string, kind: ManifestFile['kind'], mimeType: string, url: string): void => {
    const file = ManifestFile.safeParse({ name, kind, mimeType, url, sizeBytes: null, sha256: null });
    if (file.success && files.length < MAX_FILES) files.push(file.data);
  };

  // A PDF of the recipe's own, else the pick ticket that the hub draws.
  const own = addressIn(document, 'humanReadable', publicUrl);
  const ticket = own ?? recipeUrl(publicUrl, recipe.recipeId, 'pdf');
  add('Ticket.pdf', 'ticket', 'application/pdf', ticket);

  for (const view of listIn(document, 'views')) {
    const code = textIn(view, 'code');
    if (code === undefined || code === '' || code.length > MAX_CODE_CHARACTERS) continue;
    if (memberOf(view, 'productionReady') === true) {
      const url = addressIn(view, 'production', publicUrl);
      if (url !== undefined) {
        const type = typeOfAddress(url) ?? 'bin';
        add(`Production-${code}.${type}`, 'production', mimeTypeOf(type), url);
      }
    }
    const png = addressIn(view, 'previewPng', publicUrl);
    const jpg = png === undefined ? addressIn(view, 'previewJpg', publicUrl) : undefined;
    const preview = png ?? jpg;
    if (preview !== undefined) {
      const type = typeOfAddress(preview) ?? (png === undefined ? 'jpg' : 'png');
      add(`Preview-${code}.${type}`, 'preview', mimeTypeOf(type), preview);
    }
  }

  for (const attachment of listIn(document, 'attachments')) {
    const name = textIn(attachment, 'name');
    const url = addressIn(attachment, 'url', publicUrl);
    if (name === undefined || name === '' || url === undefined) continue;
    const given = textIn(attachment, 'mimeType') ?? '';
    const mimeType = MIME_TYPE.test(given) ? given : undefined;
    // A name that has a type keeps it: `notes.txt` does not become `notes.txt.bin`.
    const own = /\.([A-Za-z0-9]{1,16})$/.exec(name)?.[1]?.toLowerCase();
    const type = own ?? typeOfAddress(url) ?? (mimeType === undefined ? 'bin' : fileTypeOf(mimeType));
    add(own === undefined ? `${name}.${type}` : name, 'attachment', mimeType ?? mimeTypeOf(type), url);
  }
  return files;
}

/** Where anybody reads the recipe, as far as the hub lets them. */
export function recipeUrl(publicUrl: URL, recipeId: string, type: 'json' | 'pdf'): string {
  return `${publicUrl.href.replace(/\/+$/, '')}/recipe/${recipeId}.${type}`;
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Undefined: missing, of another type, or text that no event and no table can hold. */
export function textIn(value: unknown, member: string): string | undefined {
  const text = memberOf(value, member);
  if (typeof text !== 'string' || !text.isWellFormed() || /\p{Cc}/u.test(text)) return undefined;
  return text.trim();
}

function memberOf(value: unknown, member: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, member)
    ? (value as Readonly<Record<string, unknown>>)[member]
    : undefined;
}

function listIn(value: unknown, member: string): readonly unknown[] {
  const list = memberOf(value, member);
  return Array.isArray(list) ? (list as unknown[]) : [];
}

function addressIn(value: unknown, member: string, publicUrl: URL): string | undefined {
  return foreignAddress(textIn(value, member), publicUrl);
}

/** A full http address outside this hub, protocol-relative ones read as https. */
export function foreignAddress(text: string | undefined, publicUrl: URL): string | undefined {
  if (text === undefined || text.length > MAX_URL_CHARACTERS) return undefined;
  const url = URL.parse(text.startsWith('//') ? `https:${text}` : text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.hostname === '') {
    return undefined;
  }
  // By host, not by origin: a protocol-relative address does not say what the hub is reached by.
  return url.host === publicUrl.host ? undefined : url.href;
}

/** Extension of the last path segment, in lower case. */
function typeOfAddress(address: string): string | undefined {
  return /\/[^/]+\.([A-Za-z0-9]{1,16})$/.exec(new URL(address).pathname)?.[1]?.toLowerCase();
}

const MIME_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

const MIME_TYPES: ReadonlyMap<string, string> = new Map([
  ['ai', 'application/illustrator'],
  ['csv', 'text/csv'],
  ['eps', 'application/postscript'],
  ['gif', 'image/gif'],
  ['jpeg', 'image/jpeg'],
  ['jpg', 'image/jpeg'],
  ['json', 'application/json'],
  ['pdf', 'application/pdf'],
  ['png', 'image/png'],
  ['ps', 'application/postscript'],
  ['svg', 'image/svg+xml'],
  ['tif', 'image/tiff'],
  ['tiff', 'image/tiff'],
  ['txt', 'text/plain'],
  ['webp', 'image/webp'],
  ['xml', 'application/xml'],
  ['zip', 'application/zip'],
]);

function mimeTypeOf(type: string): string {
  return MIME_TYPES.get(type) ?? 'application/octet-stream';
}
