import { z } from 'zod';

import { Channel, Instant, RecipeId, Tenant } from '../identifiers.js';

/**
 * A recipe document as accepted.
 *
 * - Topic: `recipe.received`; `ce_type`: `heddle.recipe.received.v1`.
 * - Key: `<tenant>:<recipeId>`.
 * - Producer: `ingest-gateway`. Consumer: `association-store`.
 */
export const RecipeReceivedV1 = z.object({
  tenant: Tenant,
  channel: Channel,
  recipeId: RecipeId,
  /** The JSON text exactly as sent, at most 1 MiB in UTF-8. */
  document: z.string().min(2),
  temporary: z.boolean(),
  acceptedAt: Instant,
  requestId: z.string().min(1).max(64),
});
export type RecipeReceivedV1 = z.infer<typeof RecipeReceivedV1>;
export const RECIPE_RECEIVED = 'heddle.recipe.received.v1';
