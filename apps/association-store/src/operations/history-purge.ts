import { deleteInBatches, inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import { SCHEMA } from '../schema/migrations.js';

const RECIPES_PER_STEP = 200;

export interface Purged {
  readonly orders: number;
  readonly recipes: number;
}

/**
 * Deletes what has not changed since `before`: orders with their items and versions, cancels whose order never
 * came, then recipes that no order uses. In small transactions; what somebody holds locked is left for the
 * next run.
 */
export async function purgeHistory(
  dataSource: DataSource,
  before: Date,
  signal?: AbortSignal,
): Promise<Purged> {
  let orders = 0;
  for (const seen of ['version > 0', 'version = 0']) {
    orders += await deleteInBatches(dataSource, {
      table: `${SCHEMA}.orders`,
      where: `${seen} AND updated_at < $1`,
      params: [before],
      batchRows: 500,
      ...(signal && { signal }),
    });
  }
  let recipes = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { found, gone } = await purgeRecipes(dataSource, before);
    recipes += gone;
    // `gone` 0: all that was found is in use again.
    if (found < RECIPES_PER_STEP || gone === 0) return { orders, recipes };
  }
}

/** Locks first and looks again: an order may have taken a recipe between the look and the lock. */
async function purgeRecipes(dataSource: DataSource, before: Date): Promise<{ found: number; gone: number }> {
  return await inTransaction(dataSource, async (tx) => {
    const unused = (recipe: string): string =>
      `NOT EXISTS (SELECT FROM ${SCHEMA}.order_items i
                   WHERE i.tenant = ${recipe}.tenant AND i.recipe_id = ${recipe}.recipe_id)`;
    const found = await tx.query<{ tenant: string; recipe_id: string }>(
      `SELECT r.tenant, r.recipe_id FROM ${SCHEMA}.recipes r
       WHERE r.updated_at < $1 AND ${unused('r')}
       ORDER BY r.updated_at LIMIT ${String(RECIPES_PER_STEP)} FOR UPDATE SKIP LOCKED`,
      [before],
    );
    if (found.length === 0) return { found: 0, gone: 0 };
    const gone = await tx.execute(
      `DELETE FROM ${SCHEMA}.recipes r
       USING json_to_recordset($1) AS k (tenant text, recipe_id text)
       WHERE r.tenant = k.tenant AND r.recipe_id = k.recipe_id AND ${unused('r')}`,
      [JSON.stringify(found)],
    );
    return { found: found.length, gone };
  });
}
