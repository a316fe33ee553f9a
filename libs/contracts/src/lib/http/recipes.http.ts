import { z } from 'zod';

import { RecipeId } from '../identifiers.js';

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
