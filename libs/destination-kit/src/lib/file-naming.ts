import { createHash } from 'node:crypto';

import { FileName } from '@heddle/contracts';

/** Longest name, in bytes. Source: wire/drive.md 3.3. */
const MAX_NAME_BYTES = 180;

/** What a file set belongs to: an order, or without one the recipe feed. */
export interface FileSetOwner {
  readonly tenant: string;
  readonly channel: string;
  readonly order: { readonly orderNumber: string; readonly orderId: string | null } | null;
}

export interface FileToName {
  readonly recipeId: string;
  /** As in the manifest: `Recipe.json`, `Preview-Front.png`, or an attachment's own name. */
  readonly name: string;
  /** Gives the type where the name has none. */
  readonly mimeType: string;
}

/**
 * Names of a file set, in the order of `files`.
 *
 * A function of owner and files alone, so that a repetition meets its own files: no clock,
 * no attempt. Different within the set also to a target that ignores case.
 */
export function fileSetNames(owner: FileSetOwner, files: readonly FileToName[]): FileName[] {
  const taken = new Set<string>();
  return files.map((file) => {
    const draft = draftOf(owner, file);
    for (let copy = 1; ; copy += 1) {
      const name = compose(draft, copy);
      const folded = name.toLowerCase();
      if (taken.has(folded)) continue;
      taken.add(folded);
      return name;
    }
  });
}

/** Name of one file that is a set by itself. */
export function deliveryFileName(owner: FileSetOwner, file: FileToName): FileName {
  return compose(draftOf(owner, file), 1);
}

/** Name of the document that `order.cancelled` sends. */
export function cancelledFileName(owner: FileSetOwner & { readonly order: object }): FileName {
  const { orderNumber, orderId } = owner.order;
  const number = clean(orderNumber);
  const id = clean(orderId ?? orderNumber);
  return compose(
    {
      stem: `${number}_ID_${id}_Cancelled`,
      type: 'json',
      altered: number !== orderNumber || id !== (orderId ?? orderNumber) || hasSeparator(number, '_ID_'),
      hash: hashOf(owner, null, 'Cancelled'),
    },
    1,
  );
}

interface Draft {
  readonly stem: string;
  readonly type: string;
  /** Cleaning changed a part, or the parts cannot be told apart any more. */
  readonly altered: boolean;
  readonly hash: string;
}

function draftOf(owner: FileSetOwner, { recipeId, name, mimeType }: FileToName): Draft {
  const { stem, type } = splitType(name, mimeType);
  const hash = hashOf(owner, recipeId, name);
  const recipe = clean(recipeId);
  const part = clean(stem);
  const altered = recipe !== recipeId || part !== stem;
  if (owner.order === null) return { stem: `${recipe}-${part}`, type, altered, hash };

  const { orderNumber } = owner.order;
  const orderId = owner.order.orderId ?? orderNumber;
  const number = clean(orderNumber);
  const id = clean(orderId);
  return {
    stem: `${number}_ID_${id}_R_${recipe}_${part}`,
    type,
    altered:
      altered ||
      number !== orderNumber ||
      id !== orderId ||
      // `1_ID_2` with id `3` and `1` with id `2_ID_3` are two orders.
      hasSeparator(number, '_ID_') ||
      hasSeparator(id, '_R_'),
    hash,
  };
}

function compose({ stem, type, altered, hash }: Draft, copy: number): FileName {
  let safe = stem.replace(/^\./, '_');
  if (isReserved(safe)) safe = `_${safe}`;
  const ending = `${copy > 1 ? `-${copy}` : ''}.${type}`;
  if (!altered && safe === stem && safe.length + ending.length <= MAX_NAME_BYTES) return `${safe}${ending}`;

  const suffix = `-${hash}${ending}`;
  return FileName.parse(`${safe.slice(0, MAX_NAME_BYTES - suffix.length)}${suffix}`);
}

function clean(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/gu, '_');
}

function hasSeparator(part: string, separator: string): boolean {
  return `${part}_`.includes(separator);
}

/** Names that Windows gives to devices, whatever follows the first dot. Source: Microsoft, "Naming Files". */
function isReserved(name: string): boolean {
  return /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i.test(name);
}

function hashOf({ tenant, channel, order }: FileSetOwner, recipeId: string | null, name: string): string {
  const parts = [tenant, channel, order?.orderNumber ?? null, order?.orderId ?? null, recipeId, name];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 8);
}

function splitType(name: string, mimeType: string): { stem: string; type: string } {
  const match = /^(.+)\.([A-Za-z0-9]{1,16})$/su.exec(name);
  if (match?.[1] !== undefined && match[2] !== undefined) return { stem: match[1], type: match[2] };
  return { stem: name, type: fileTypeOf(mimeType) };
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ['application/illustrator', 'ai'],
  ['application/json', 'json'],
  ['application/pdf', 'pdf'],
  ['application/postscript', 'ps'],
  ['application/xml', 'xml'],
  ['application/zip', 'zip'],
  ['image/gif', 'gif'],
  ['image/jpeg', 'jpg'],
  ['image/png', 'png'],
  ['image/svg+xml', 'svg'],
  ['image/tiff', 'tiff'],
  ['image/webp', 'webp'],
  ['text/csv', 'csv'],
  ['text/plain', 'txt'],
]);

/** File type for a content type, `bin` for one that is not known. */
export function fileTypeOf(mimeType: string): string {
  return TYPES.get((mimeType.split(';')[0] ?? '').trim().toLowerCase()) ?? 'bin';
}
