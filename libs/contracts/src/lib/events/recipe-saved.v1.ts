import { z } from 'zod';

import { ManifestFile } from '../file-manifest.js';
import { Channel, Instant, RecipeId, Tenant } from '../identifiers.js';

/**
 * A recipe came into being or got other content. Public fact.
 *
 * - Topics: `recipe.created` (`heddle.recipe.created.v1`, version 1) and `recipe.updated`
 *   (`heddle.recipe.updated.v1`, higher versions).
 * - Key: `<tenant>:<recipeId>`.
 * - Producer: `association-store`. Consumers: `dispatcher` (created) and any other system.
 *
 * The document itself is not in it: it may hold anything. Its files and their addresses are.
 */
export const RecipeSavedV1 = z.object({
  tenant: Tenant,
  channel: Channel,
  recipeId: RecipeId,
  version: z.int().min(1),
  temporary: z.boolean(),
  /** The version before was temporary and this one is not. */
  becamePermanent: z.literal(true).optional(),
  name: z.string().nullable(),
  styleCode: z.string().nullable(),
  files: z.array(ManifestFile),
  acceptedAt: Instant,
  updatedAt: Instant,
});
export type RecipeSavedV1 = z.infer<typeof RecipeSavedV1>;
export const RECIPE_CREATED = 'heddle.recipe.created.v1';
export const RECIPE_UPDATED = 'heddle.recipe.updated.v1';
