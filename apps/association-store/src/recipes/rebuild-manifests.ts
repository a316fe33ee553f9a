import { isDeepStrictEqual } from 'node:util';

import { inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { newId, newTraceparent } from '@heddle/platform';

import type { Hub } from '../hub.js';
import type { RecipeName } from '../orders/order.repository.js';
import { SCHEMA } from '../schema/migrations.js';

import { lockRecipes } from './recipe.repository.js';
import { readAgain, renew } from './renewal.js';

/** Documents of one transaction, 1 MiB each at most. */
const BATCH = 25;

export interface Rebuilt {
  /** Recipes that were looked at. */
  readonly recipes: number;
  /** Those whose manifest is another one by now. */
  readonly renewed: number;
}

/**
 * Reads every recipe again, and renews those that it would be given other files for than it has: as an update, which
 * orders of the last days take too. Safe to repeat and to run beside the service; what is as it should be is left alone.
 *
 * @param options.isDry only counts.
 * @param options.after where to go on; everything from the beginning without it.
 */
export async function rebuildManifests(
  dataSource: DataSource,
  hub: Hub,
  options: {
    readonly isDry?: boolean;
    readonly after?: RecipeName | undefined;
    readonly onStep?: (last: RecipeName, rebuilt: Rebuilt) => void;
  } = {},
): Promise<Rebuilt> {
  let rebuilt: Rebuilt = { recipes: 0, renewed: 0 };
  for (let after = options.after ?? { tenant: '', recipeId: '' }; ;) {
    const step = await inTransaction(dataSource, async (tx) => {
      const names = await tx.query<RecipeName>(
        `SELECT tenant, recipe_id AS "recipeId" FROM ${SCHEMA}.recipes
         WHERE (tenant, recipe_id) > ($1, $2) ORDER BY tenant, recipe_id LIMIT ${String(BATCH)}`,
        [after.tenant, after.recipeId],
      );
      const last = names.at(-1);
      if (last === undefined) return undefined;
      const again = await readAgain(tx, await lockRecipes(tx, names), hub);
      const other = again.filter(({ stored, facts }) => !isDeepStrictEqual(stored.files, facts.files));
      if (options.isDry !== true && other.length > 0)
        await renew(tx, other, { traceparent: newTraceparent(), requestId: newId() }, new Date());
      return { last, looked: again.length, renewed: other.length };
    });
    if (step === undefined) return rebuilt;
    rebuilt = { recipes: rebuilt.recipes + step.looked, renewed: rebuilt.renewed + step.renewed };
    after = step.last;
    options.onStep?.(after, rebuilt);
  }
}
