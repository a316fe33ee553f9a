import { createHash } from 'node:crypto';

import { fileTypeOf } from '@heddle/destination-kit';
import { PREVIEW_TYPES } from '@heddle/contracts';
import type { ManifestFault, ManifestFile, PreviewType } from '@heddle/contracts';

import { baseOf } from '../hub.js';
import type { Hub } from '../hub.js';

/** Most files of one recipe. The first one beyond is listed with its fault, those behind it are not. */
export const MAX_FILES = 250;
/** Longest view code or name of an attachment that fits a manifest name with its prefix and type. */
const MAX_LABEL_CHARACTERS = 900;
const MAX_URL_CHARACTERS = 8_192;
/** Stands where an address could not be read: an address of nothing. Source: CSS Values, 4.5.4. */
const NO_ADDRESS = 'about:invalid';

export interface RecipeText {
  readonly recipeId: string;
  /** As sent. */
  readonly text: string;
  /** Of the text, in hex. */
  readonly sha256: string;
}

/** A file that a document lists, before the uploads of its recipe are known. */
export type ListedFile = ManifestFile & {
  /** Of a file at an address of the hub's own: where it may be if no upload is meant, best first. */
  readonly elsewhere?: readonly Place[];
};

type Place = Pick<ManifestFile, 'name' | 'mimeType' | 'url' | 'fault'>;

/**
 * The files of a recipe. Source: wire/drive.md 2.2 and 3.2.
 *
 * Pure and total: the document is the customer's, any member of it may be missing or of another type. A file whose
 * address cannot be read is listed with its fault: a delivery sends the others and says which one is missing and why.
 *
 * @param hub what stands below one of its hosts is an upload, or comes from somewhere else: its workers refuse to
 * fetch from there. See `withUploads`.
 */
export function listedFiles(document: unknown, recipe: RecipeText, hub: Hub): ListedFile[] {
  const files: ListedFile[] = [
    {
      name: 'Recipe.json',
      kind: 'recipe',
      mimeType: 'application/json',
      url: recipeUrl(hub, recipe.recipeId, 'json'),
      sizeBytes: Buffer.byteLength(recipe.text),
      sha256: recipe.sha256,
    },
  ];
  const add = (kind: ManifestFile['kind'], place: Place, ...elsewhere: readonly Place[]): void => {
    if (files.length > MAX_FILES) return;
    const about = { kind, sizeBytes: null, sha256: null };
    if (files.length === MAX_FILES) files.push({ ...place, ...about, fault: 'too-many-files' });
    else if (place.fault === 'hub-address') files.push({ ...place, ...about, elsewhere });
    else files.push({ ...place, ...about });
  };

  // A PDF of the recipe's own, else the pick ticket that the hub draws.
  const drawn = {
    name: 'Ticket.pdf',
    mimeType: 'application/pdf',
    url: recipeUrl(hub, recipe.recipeId, 'pdf'),
  };
  const own = addressIn(document, 'humanReadable', hub);
  if (own === undefined || own.fault === 'address-unreadable') add('ticket', drawn);
  else add('ticket', { ...drawn, ...placeOf(own) }, drawn);

  for (const [index, view] of listIn(document, 'views').entries()) {
    const code = viewCode(view, index);
    if (memberOf(view, 'productionReady') === true) {
      const address = addressIn(view, 'production', hub) ?? UNREADABLE;
      add('production', typedPlace(`Production-${code}`, address, 'bin'));
    }
    const [best, ...others] = previewsIn(view, hub).map(({ address, type }) =>
      typedPlace(`Preview-${code}`, address, type),
    );
    if (best !== undefined) add('preview', best, ...others);
  }

  for (const [index, attachment] of listIn(document, 'attachments').entries()) {
    if (typeof attachment !== 'object' || attachment === null) continue;
    const name = labelIn(attachment, 'name') ?? `Attachment-${String(index + 1)}`;
    const address = addressIn(attachment, 'url', hub) ?? UNREADABLE;
    const given = textIn(attachment, 'mimeType') ?? '';
    const mimeType = MIME_TYPE.test(given) ? given : undefined;
    // A name that has a type keeps it: `notes.txt` does not become `notes.txt.bin`.
    const own = TYPE.exec(name)?.[1]?.toLowerCase();
    const type = own ?? address.type ?? (mimeType === undefined ? 'bin' : fileTypeOf(mimeType));
    add('attachment', {
      name: own === undefined ? `${name}.${type}` : name,
      mimeType: mimeType ?? mimeTypeOf(type),
      ...placeOf(address),
    });
  }
  return files;
}

function typedPlace(stem: string, address: Address, otherwise: string): Place {
  const type = address.type ?? otherwise;
  return { name: `${stem}.${type}`, mimeType: mimeTypeOf(type), ...placeOf(address) };
}

function placeOf({ url, fault }: Address): Pick<Place, 'url' | 'fault'> {
  return { url, ...(fault !== undefined && { fault }) };
}

/**
 * The manifest: what the document lists, each address of the hub's own replaced by what is meant by it, and the other
 * uploads behind them. An upload that the document names goes out once, as what the document says it is, and an uploaded
 * ticket in the place of the one that the hub draws.
 */
export function withUploads(
  listed: readonly ListedFile[],
  uploads: readonly ManifestFile[],
  { recipeId, hub }: { readonly recipeId: string; readonly hub: Hub },
): ManifestFile[] {
  const used = new Set<ManifestFile>();
  const drawn = recipeUrl(hub, recipeId, 'pdf');
  const files = listed.flatMap(({ elsewhere = [], ...file }): ManifestFile[] => {
    if (file.fault !== 'hub-address') return [file];
    for (const { name, mimeType, url, fault } of [file, ...elsewhere]) {
      const { kind, sizeBytes, sha256 } = file;
      if (fault === undefined) return [{ name, kind, mimeType, url, sizeBytes, sha256 }];
      const upload = uploadAt(pathBelow(hub, url), uploads, { recipeId, hub });
      if (upload === undefined) continue;
      used.add(upload);
      return [{ ...upload, name, kind }];
    }
    // The set has these two anyway.
    const isOfTheSet = [`/recipe/${recipeId}.json`, `/recipe/${recipeId}.pdf`].includes(
      pathBelow(hub, file.url) ?? '',
    );
    return isOfTheSet ? [] : [file];
  });
  const others = uploads.filter((upload) => !used.has(upload));
  const ticket = others.find(({ kind }) => kind === 'ticket');
  const place = files.findIndex(({ kind, url }) => kind === 'ticket' && url === drawn);
  if (ticket === undefined || place === -1) return [...files, ...others];
  const type = TYPE.exec(ticket.name)?.[1]?.toLowerCase() ?? fileTypeOf(ticket.mimeType);
  return [
    ...files.with(place, { ...ticket, name: `Ticket.${type}` }),
    ...others.filter((upload) => upload !== ticket),
  ];
}

/** The uploaded preview of a view, in the type that an address ends in. */
export function uploadedPreview<T extends Pick<ManifestFile, 'name' | 'kind'>>(
  uploads: readonly T[],
  { recipeId, view, type }: { readonly recipeId: string; readonly view: string; readonly type: PreviewType },
): T | undefined {
  const types = type === 'png' ? ['png'] : ['jpg', 'jpeg'];
  const previews = uploads.filter(({ kind }) => kind === 'preview');
  return [`Preview-${view}`, `${recipeId}-${view}`, view]
    .flatMap((stem) => types.map((ending) => `${stem}.${ending}`))
    .flatMap((name) => previews.find((upload) => upload.name.toLowerCase() === name.toLowerCase()) ?? [])[0];
}

function uploadAt(
  path: string | undefined,
  uploads: readonly ManifestFile[],
  { recipeId, hub }: { readonly recipeId: string; readonly hub: Hub },
): ManifestFile | undefined {
  if (path === undefined) return undefined;
  const upload = uploads.find(({ url }) => pathBelow(hub, url) === path);
  if (upload !== undefined) return upload;
  const [, view, type] = /^-(.+)\.(png|jpg)$/su.exec(afterPrefix(path, `/recipe/${recipeId}`) ?? '') ?? [];
  return view === undefined
    ? undefined
    : uploadedPreview(uploads, { recipeId, view, type: type as PreviewType });
}

function afterPrefix(text: string, prefix: string): string | undefined {
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
}

/** Path of an address of the hub's own, from the root of the hub, decoded. */
function pathBelow(hub: Hub, address: string): string | undefined {
  try {
    const root = hub.url.pathname.replace(/\/+$/, '');
    return afterPrefix(decodeURIComponent(new URL(address).pathname), root);
  } catch {
    return undefined;
  }
}

/** Where anybody reads the recipe, as far as the hub lets them. */
export function recipeUrl(hub: Hub, recipeId: string, type: 'json' | 'pdf'): string {
  return `${baseOf(hub)}/recipe/${recipeId}.${type}`;
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

interface Address {
  readonly url: string;
  /** Its extension, in lower case. */
  readonly type?: string | undefined;
  readonly fault?: Exclude<ManifestFault, 'too-many-files'>;
}

const UNREADABLE: Address = { url: NO_ADDRESS, fault: 'address-unreadable' };

/** Undefined: none is given. */
function addressIn(value: unknown, member: string, hub: Hub): Address | undefined {
  const given = memberOf(value, member);
  if (given === undefined || given === null || given === '') return undefined;
  const text = textIn(value, member);
  const url = text === undefined ? undefined : httpUrl(text);
  if (url === undefined) {
    const type = TYPE.exec((text ?? '').replace(/[?#].*$/su, ''))?.[1]?.toLowerCase();
    return { ...UNREADABLE, type };
  }
  const type = /\/[^/]+\.([A-Za-z0-9]{1,16})$/.exec(url.pathname)?.[1]?.toLowerCase();
  return { url: url.href, type, ...(isOwn(url, hub) && { fault: 'hub-address' }) };
}

/**
 * Where the preview of a view may be, best first; none where the document gives none. The PNG, else the JPG: the first
 * that somebody else serves, else what the hub has at its own addresses, which show what the render address gives where
 * nothing was uploaded.
 */
function previewsIn(
  view: unknown,
  hub: Hub,
): readonly { readonly type: PreviewType; readonly address: Address }[] {
  const given = PREVIEW_TYPES.flatMap((type) => {
    const address = addressIn(view, PREVIEW_MEMBERS[type], hub);
    return address === undefined ? [] : [{ type, address }];
  });
  const [first] = given;
  const readable = given.find(({ address }) => address.fault === undefined);
  if (first === undefined || readable !== undefined) return readable === undefined ? [] : [readable];
  const own = given.filter(({ address }) => address.fault === 'hub-address');
  const [best] = own;
  if (best === undefined) return [first];
  const rendered = foreignAddress(textIn(view, 'preview'), hub);
  return rendered === undefined ? own : [...own, { type: best.type, address: { url: rendered } }];
}

const PREVIEW_MEMBERS: Readonly<Record<PreviewType, string>> = { png: 'previewPng', jpg: 'previewJpg' };

/** Where the preview of a view is when nothing was uploaded for it: what it links in that type, else its render address. */
export function linkedPreview(view: unknown, type: PreviewType, hub: Hub): string | undefined {
  return [PREVIEW_MEMBERS[type], 'preview']
    .map((member) => foreignAddress(textIn(view, member), hub))
    .find((address) => address !== undefined);
}

/** A full http address outside this hub, protocol-relative ones read as https. */
export function foreignAddress(text: string | undefined, hub: Hub): string | undefined {
  const url = text === undefined ? undefined : httpUrl(text);
  return url === undefined || isOwn(url, hub) ? undefined : url.href;
}

function httpUrl(text: string): URL | undefined {
  if (text.length > MAX_URL_CHARACTERS) return undefined;
  const url = URL.parse(text.startsWith('//') ? `https:${text}` : text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.hostname === '') {
    return undefined;
  }
  return url.href.length > MAX_URL_CHARACTERS ? undefined : url;
}

/** By host, not by origin: a protocol-relative address does not say what the hub is reached by. */
function isOwn(url: URL, hub: Hub): boolean {
  return hub.hosts.has(url.host);
}

/** What tells the views of a recipe apart; one without a code goes by its place. */
function viewCode(view: unknown, index: number): string {
  return labelIn(view, 'code') ?? `view-${String(index + 1)}`;
}

/** Of each view that is one, in their order. */
export function viewCodes(document: unknown): readonly string[] {
  return listIn(document, 'views').flatMap((view, index) =>
    typeof view === 'object' && view !== null ? [viewCode(view, index)] : [],
  );
}

/** Undefined: the document has no such view. */
export function viewNamed(document: unknown, code: string): object | undefined {
  const view = listIn(document, 'views').find((each, index) => viewCode(each, index) === code);
  return typeof view === 'object' && view !== null ? view : undefined;
}

/**
 * A text that a file is named by, or undefined where there is none. What no event and no table can hold is replaced,
 * and what is too long ends in a hash of all of it; `fileSetNames` makes the rest fit for a folder.
 */
function labelIn(value: unknown, member: string): string | undefined {
  const given = memberOf(value, member);
  if (typeof given === 'number') return String(given);
  if (typeof given !== 'string') return undefined;
  const text = given
    .trim()
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\uFFFD');
  if (text.length <= MAX_LABEL_CHARACTERS) return text === '' ? undefined : text;
  const type = TYPE.exec(text)?.[0] ?? '';
  return `${text.slice(0, MAX_LABEL_CHARACTERS - 100).toWellFormed()}-${sha256Of(text).slice(0, 8)}${type}`;
}

const TYPE = /\.([A-Za-z0-9]{1,16})$/;

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
