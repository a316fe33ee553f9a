import { z } from 'zod';

import { FileSource } from '../events/delivery-requested.v1.js';
import { FileKind } from '../file-manifest.js';
import { Channel, ForeignId, Instant, RecipeId, Sha256 } from '../identifiers.js';

import { QueryFlag, pageOf, paging } from './paging.http.js';

/** Most documents of one request, and the size of one in bytes. Source: wire/drive.md 2.3, architecture section 7. */
export const MAX_RECIPES = 100;
export const MAX_RECIPE_BYTES = 1_048_576;
export const MAX_RECIPES_BYTES = 8 * MAX_RECIPE_BYTES;

/** A recipe is the customer's document: only these two are read at the edge, the rest is kept as sent. */
export const RecipeDocumentInput = z.looseObject(
  {
    id: z
      .string('id must be a string')
      .pipe(
        z
          .string()
          .regex(
            /^(?!\.)[A-Za-z0-9._-]{1,128}$/,
            'id must have 1 to 128 characters of A-Z a-z 0-9 . _ - and not start with a dot',
          ),
      ),
    temporary: z.boolean('temporary must be true or false').optional(),
  },
  'a recipe must be an object',
);

export const RecipesRequest = z
  .array(RecipeDocumentInput)
  .min(1, 'the array must have 1 to 100 recipes')
  .max(MAX_RECIPES, 'the array must have 1 to 100 recipes');

export const RecipesAccepted = z.object({
  accepted: z.int(),
  recipes: z.array(z.object({ id: RecipeId, location: z.string() })),
});

/** Of the previews at addresses of the hub's own. Source: wire/drive.md 2.1. */
export const PREVIEW_TYPES = ['png', 'jpg'] as const;
export const PREVIEW_MIME_TYPES = { png: 'image/png', jpg: 'image/jpeg' } as const;
export const PreviewType = z.enum(PREVIEW_TYPES);
export type PreviewType = z.infer<typeof PreviewType>;

/** Between the services: where the preview of a view is that `/recipe/{id}-{view}.png` shows. */
export const PreviewPlace = z.object({ source: FileSource });
export type PreviewPlace = z.infer<typeof PreviewPlace>;

/** Most uploaded files of one recipe. */
export const MAX_UPLOADS = 100;
/** As long as the names of deliveries. Source: wire/drive.md 3.3. */
const MAX_UPLOAD_NAME_BYTES = 180;

/** `PUT /api/v2/recipe/{id}/files/{name}`. */
export const UploadQuery = z.strictObject({
  kind: FileKind.default('attachment').describe(
    'What the file is to the integrations that include kinds of files. A ticket takes the place of the one that the hub ' +
      'draws; the document of the recipe stays what it is.',
  ),
});

/**
 * A file name as people give them, in any script: one that no file system takes for something else and that reads as
 * what it is.
 */
export const UploadName = z.string().check((context) => {
  const message = faultOfName(context.value);
  if (message === undefined) return;
  context.issues.push({ code: 'invalid_format', format: 'file-name', message, input: context.value });
});

function faultOfName(name: string): string | undefined {
  if (name === '') return 'a file name is required';
  if (new TextEncoder().encode(name).length > MAX_UPLOAD_NAME_BYTES)
    return `a file name must not have more than ${String(MAX_UPLOAD_NAME_BYTES)} bytes`;
  if (/[/\\]/.test(name)) return 'a file name must not contain a slash or a backslash';
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name))
    return 'a file name must not contain control characters or invisible marks';
  if (/[<>:"|?*]/.test(name)) return 'a file name must not contain any of < > : " | ? *';
  if (/^[. ]|[. ]$/.test(name)) return 'a file name must not start or end with a dot or a space';
  // Microsoft, "Naming Files": whatever follows the first dot.
  if (/^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i.test(name))
    return 'this file name is kept for a device by some systems';
  return undefined;
}

export const UploadedFile = z.object({
  name: z.string(),
  mimeType: z.string(),
  sizeBytes: z.int().min(0),
  sha256: Sha256,
});
export type UploadedFile = z.infer<typeof UploadedFile>;

/** `GET /api/v2/recipes`. */
export const RecipesQuery = z.strictObject({
  ...paging,
  search: ForeignId.optional().describe(
    'The recipe id, the style code, or how the name begins, in upper or lower case.',
  ),
  ordered: QueryFlag.optional().describe('With an item of an order that is not cancelled, or without one.'),
  temporary: QueryFlag.optional(),
  createdSince: Instant.optional(),
});
export type RecipesQuery = z.infer<typeof RecipesQuery>;

/** What a list says of a recipe; its document is read at `location`. */
export const RecipeView = z.object({
  recipeId: RecipeId,
  channel: Channel,
  name: z.string().nullable(),
  styleCode: z.string().nullable(),
  version: z.int().min(1),
  temporary: z.boolean(),
  ordered: z.boolean(),
  uploadedFiles: z.int().min(0),
  createdAt: Instant,
  updatedAt: Instant,
  location: z.string(),
});
export type RecipeView = z.infer<typeof RecipeView>;
export const RecipePage = pageOf(RecipeView);
