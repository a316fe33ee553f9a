import { RECIPE_CREATED, RECIPE_UPDATED, recipeKey } from '@heddle/contracts';
import type { OutboxRow } from '@heddle/persistence';
import { childOf, newId } from '@heddle/platform';

import { recipeDocument } from './fold-recipes.js';
import type { RecipeChange } from './fold-recipes.js';

/** `recipe.created` or `recipe.updated`. */
export function recipeEvent(change: RecipeChange, now: Date): OutboxRow {
  const { tenant, recipeId } = change.message.data;
  const time = now.toISOString();
  return {
    topic: change.topic,
    key: recipeKey(tenant, recipeId),
    id: newId(),
    type: change.topic === 'recipe.created' ? RECIPE_CREATED : RECIPE_UPDATED,
    time,
    subject: recipeId,
    tenant,
    traceparent: childOf(change.message.traceparent),
    data: JSON.stringify(recipeDocument(change, time)),
  };
}
