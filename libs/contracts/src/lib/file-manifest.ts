import { z } from 'zod';

import { Sha256 } from './identifiers.js';

export const FILE_KINDS = ['recipe', 'ticket', 'production', 'preview', 'attachment'] as const;
export const FileKind = z.enum(FILE_KINDS);
export type FileKind = z.infer<typeof FileKind>;

/** What a file set may hold: files of recipes, or what a mail to a notification list says. */
export const OfferedFileKind = z.enum([...FILE_KINDS, 'notification']);
export type OfferedFileKind = z.infer<typeof OfferedFileKind>;

/**
 * Why a file that a recipe lists cannot be delivered: its address is no http(s) URL, or it is one of the hub's own that
 * names no file of the recipe, or the recipe lists too many and this is the first of those left out.
 */
export const MANIFEST_FAULTS = ['address-unreadable', 'hub-address', 'too-many-files'] as const;
export const ManifestFault = z.enum(MANIFEST_FAULTS);
export type ManifestFault = z.infer<typeof ManifestFault>;

/** One file of a recipe: what it is and where its bytes are. Never the bytes. */
export const ManifestFile = z.object({
  /** `Recipe.json`, `Production-<view>.<type>`, `Preview-<view>.<type>` or the own name of an attachment or upload. */
  name: z.string().min(1).max(1_024),
  kind: FileKind,
  mimeType: z.string().min(1).max(255),
  url: z.string().min(1).max(8_192),
  /** Known where the hub holds the bytes itself: of the document and of uploaded files. */
  sizeBytes: z.int().min(0).nullable(),
  sha256: Sha256.nullable(),
  /** The file cannot be delivered; `url` is then what could be read, or `about:invalid`. */
  fault: ManifestFault.optional(),
});
export type ManifestFile = z.infer<typeof ManifestFile>;
