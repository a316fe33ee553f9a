import type { RecipeView, RecipesQuery } from '@heddle/contracts';
import { decodeCursor, search, toPage } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { z } from 'zod';

import type { Hub } from '../hub.js';
import type { Reader } from '../orders/order.queries.js';
import { SCHEMA } from '../schema/migrations.js';

import { recipeUrl } from './manifest.js';

interface ViewRow extends Omit<RecipeView, 'location' | 'createdAt' | 'updatedAt'> {
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** `createdAt` to the microsecond. */
  readonly position: string;
}

const Position = z.tuple([z.string(), z.string()]);

/** An item of an order that is not cancelled, as the report of conversions counts them. */
const ORDERED = `EXISTS (
  SELECT FROM ${SCHEMA}.order_items i JOIN ${SCHEMA}.orders o ON o.order_uid = i.order_uid AND o.status = 'open'
  WHERE i.tenant = r.tenant AND i.recipe_id = r.recipe_id AND i.item_quantity > 0)`;

/**
 * One page of recipes that were saved, the last one first. Recipes do not move in this list when they change, so a walk
 * through it meets each recipe once, whatever happens meanwhile.
 */
export async function listRecipes(
  dataSource: DataSource,
  reader: Reader,
  { limit, cursor, ...filters }: RecipesQuery,
  hub: Hub,
): Promise<{ items: RecipeView[]; nextCursor: string | null }> {
  const bound = { list: 'recipes', ...reader, filters };
  const after = cursor === undefined ? undefined : decodeCursor(cursor, bound, Position);
  const { sql, params } = recipesPage(reader, filters, limit, after);
  const rows = await search<ViewRow>(dataSource, sql, params);
  const page = toPage(rows, {
    limit,
    filters: bound,
    positionOf: ({ position, recipeId }) => [position, recipeId],
  });
  return {
    items: page.items.map(({ position: _, createdAt, updatedAt, ...recipe }) => ({
      ...recipe,
      createdAt: createdAt.toISOString(),
      updatedAt: updatedAt.toISOString(),
      location: recipeUrl(hub, recipe.recipeId, 'json'),
    })),
    nextCursor: page.nextCursor,
  };
}

/** One row more than the page has, so that one knows whether there is another one. */
export function recipesPage(
  { tenant, channel }: Reader,
  filters: Omit<RecipesQuery, 'limit' | 'cursor'>,
  limit: number,
  after?: z.infer<typeof Position>,
): { sql: string; params: unknown[] } {
  const params: unknown[] = [tenant];
  const all = ['r.tenant = $1', 'r.version > 0'];
  const param = (value: unknown): string => `$${String(params.push(value))}`;
  if (channel !== undefined) all.push(`r.channel = ${param(channel)}`);
  if (filters.search !== undefined) all.push(`r.recipe_id IN (${foundBy(param(filters.search))})`);
  if (filters.ordered !== undefined) all.push(filters.ordered ? ORDERED : `NOT ${ORDERED}`);
  if (filters.temporary !== undefined) all.push(`r.temporary = ${param(filters.temporary)}`);
  if (filters.createdSince !== undefined)
    all.push(`r.saved_at >= ${param(filters.createdSince)}::timestamptz`);
  if (after !== undefined)
    all.push(`(r.saved_at, r.recipe_id) < (${param(after[0])}::timestamptz, ${param(after[1])})`);
  return {
    sql: `SELECT r.recipe_id AS "recipeId", r.channel, r.name, r.style_code AS "styleCode", r.version, r.temporary,
                 ${ORDERED} AS ordered, r.uploads AS "uploadedFiles", r.saved_at AS "createdAt",
                 r.updated_at AS "updatedAt",
                 to_char(r.saved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
          FROM ${SCHEMA}.recipes r WHERE ${all.join(' AND ')}
          ORDER BY r.saved_at DESC, r.recipe_id DESC LIMIT ${param(limit + 1)}`,
    params,
  };
}

/** The id, the style code, or how the name begins; each by its own index. */
function foundBy(search: string): string {
  const start = `left(lower(${search}::text), 128)`;
  return `
    SELECT recipe_id FROM ${SCHEMA}.recipes WHERE tenant = $1 AND recipe_id = ${search}::text AND version > 0
    UNION SELECT recipe_id FROM ${SCHEMA}.recipes
    WHERE tenant = $1 AND left(style_code, 128) = left(${search}::text, 128) AND style_code = ${search}::text
      AND version > 0
    UNION SELECT recipe_id FROM ${SCHEMA}.recipes
    WHERE tenant = $1 AND left(lower(name), 128) COLLATE "C" >= ${start}
      AND left(lower(name), 128) COLLATE "C" < ${start} || U&'\\+10FFFF' AND version > 0`;
}
