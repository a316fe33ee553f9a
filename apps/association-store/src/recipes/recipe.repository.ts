import type { ManifestFile } from '@heddle/contracts';
import { query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';

import { SCHEMA } from '../schema/migrations.js';
import { RECIPES_IN_ORDER, assertAllThere } from '../orders/order.repository.js';
import type { RecipeName } from '../orders/order.repository.js';

import type { RecipeChange, RecipeFoldResult, RecipeHead } from './fold-recipes.js';

/** A recipe whose row this transaction has locked. */
export interface LockedRecipe extends RecipeHead {
  /** Number of uploaded files. */
  readonly uploads: number;
}

/** Locks the recipes for a change, in the order that every transaction keeps. Their rows have to be there. */
export async function lockRecipes(tx: Tx, recipes: readonly RecipeName[]): Promise<LockedRecipe[]> {
  const rows = await tx.query<{
    tenant: string;
    recipe_id: string;
    version: number;
    sha256: string | null;
    temporary: boolean | null;
    last_offset: string | null;
    uploads: number;
  }>(
    `SELECT r.tenant, r.recipe_id, r.version, r.sha256, r.temporary, r.last_offset, r.uploads
     FROM ${RECIPES_IN_ORDER} AS k
     CROSS JOIN LATERAL (
       SELECT * FROM ${SCHEMA}.recipes s
       WHERE s.tenant = k.tenant AND s.recipe_id = k."recipeId" FOR UPDATE) AS r`,
    [JSON.stringify(recipes)],
  );
  assertAllThere(recipes.length, rows.length);
  return rows.map((row) => ({
    tenant: row.tenant,
    recipeId: row.recipe_id,
    version: row.version,
    sha256: row.sha256,
    temporary: row.temporary ?? false,
    lastOffset: row.last_offset === null ? null : BigInt(row.last_offset),
    uploads: row.uploads,
  }));
}

export function writeRecipes(tx: Tx, { heads, changes }: RecipeFoldResult, now: Date): void {
  if (heads.length === 0) return;
  tx.post(
    `UPDATE ${SCHEMA}.recipes AS r
     SET version = i.version, sha256 = i.sha256, last_offset = i.last_offset, files = coalesce(i.files, r.files),
         updated_at = CASE WHEN i.files IS NULL THEN r.updated_at ELSE $2 END,
         channel = coalesce(i.channel, r.channel), temporary = coalesce(i.temporary, r.temporary),
         name = CASE WHEN i.files IS NULL THEN r.name ELSE i.name END,
         style_code = CASE WHEN i.files IS NULL THEN r.style_code ELSE i.style_code END,
         saved_at = coalesce(r.saved_at, i.saved_at)
     FROM json_to_recordset($1) AS i (
       tenant text, recipe_id text, version integer, sha256 text, last_offset bigint, files json, channel text,
       temporary boolean, name text, style_code text, saved_at timestamptz)
     WHERE r.tenant = i.tenant AND r.recipe_id = i.recipe_id`,
    [
      JSON.stringify(
        heads.map(({ tenant, recipeId, version, sha256, lastOffset, newest }) => ({
          tenant,
          recipe_id: recipeId,
          version,
          sha256,
          last_offset: String(lastOffset),
          ...(newest !== undefined && listedFacts(newest.message)),
        })),
      ),
      now,
    ],
  );
  if (changes.length === 0) return;
  tx.post(
    `INSERT INTO ${SCHEMA}.recipe_versions
       (tenant, recipe_id, version, channel, style_code, document, text_sha256, files, temporary, accepted_at, created_at)
     SELECT tenant, recipe_id, version, channel, style_code, document, text_sha256, files, temporary, accepted_at, $2
     FROM json_to_recordset($1) AS i (
       tenant text, recipe_id text, version integer, channel text, style_code text, document text, text_sha256 text,
       files json, temporary boolean, accepted_at timestamptz)`,
    [
      JSON.stringify(
        changes.map(({ version, message: { data, facts } }) => ({
          tenant: data.tenant,
          recipe_id: data.recipeId,
          version,
          channel: data.channel,
          style_code: facts.styleCode,
          document: data.document,
          text_sha256: facts.textSha256,
          files: facts.files,
          temporary: data.temporary,
          accepted_at: data.acceptedAt,
        })),
      ),
      now,
    ],
  );
}

function listedFacts({ data, facts }: RecipeChange['message']): object {
  return {
    files: facts.files,
    channel: data.channel,
    temporary: data.temporary,
    name: facts.name,
    style_code: facts.styleCode,
    saved_at: data.acceptedAt,
  };
}

/**
 * Queues the recipes that got other content and that orders use. After the lock on the recipe: the orders that
 * are not seen here have yet to take it, and will find the content.
 *
 * @returns how many were queued.
 */
export async function queueLinks(tx: Tx, { heads }: RecipeFoldResult, now: Date): Promise<number> {
  const changed = heads.flatMap(({ tenant, recipeId, newest }) =>
    newest === undefined
      ? []
      : [
          {
            tenant,
            recipe_id: recipeId,
            accepted_at: newest.message.data.acceptedAt,
            traceparent: newest.message.traceparent,
          },
        ],
  );
  if (changed.length === 0) return 0;
  return await tx.execute(
    `INSERT INTO ${SCHEMA}.links_due (tenant, recipe_id, accepted_at, traceparent, created_at)
     SELECT tenant, recipe_id, accepted_at, traceparent, $2
     FROM json_to_recordset($1) AS i (tenant text, recipe_id text, accepted_at timestamptz, traceparent text)
     WHERE EXISTS (SELECT FROM ${SCHEMA}.order_items o WHERE o.tenant = i.tenant AND o.recipe_id = i.recipe_id)`,
    [JSON.stringify(changed), now],
  );
}

/** Those of the ids that a document was saved for, longest first. */
export async function savedRecipes(
  dataSource: DataSource,
  tenant: string,
  recipeIds: readonly string[],
): Promise<readonly string[]> {
  if (recipeIds.length === 0) return [];
  const rows = await query<{ recipeId: string }>(
    dataSource,
    `SELECT recipe_id AS "recipeId" FROM ${SCHEMA}.recipes
     WHERE tenant = $1 AND recipe_id = ANY ($2) AND version > 0 ORDER BY length(recipe_id) DESC`,
    [tenant, recipeIds],
  );
  return rows.map(({ recipeId }) => recipeId);
}

/** Files of one version; none where there is no such version. */
export async function findManifest(
  dataSource: DataSource,
  { tenant, recipeId, version }: RecipeName & { readonly version: number },
): Promise<readonly ManifestFile[]> {
  const [row] = await query<{ files: readonly ManifestFile[] }>(
    dataSource,
    `SELECT files FROM ${SCHEMA}.recipe_versions WHERE tenant = $1 AND recipe_id = $2 AND version = $3`,
    [tenant, recipeId, version],
  );
  return row?.files ?? [];
}

export interface StoredDocument {
  readonly version: number;
  readonly document: string;
  /** Of the text. */
  readonly sha256: string;
}

/** The newest version, or the one that is asked for. */
export async function findDocument(
  dataSource: DataSource,
  { tenant, recipeId }: RecipeName,
  version?: number,
): Promise<StoredDocument | undefined> {
  const [row] = await query<StoredDocument>(
    dataSource,
    `SELECT version, document, text_sha256 AS sha256 FROM ${SCHEMA}.recipe_versions
     WHERE tenant = $1 AND recipe_id = $2 AND ($3::integer IS NULL OR version = $3)
     ORDER BY version DESC LIMIT 1`,
    [tenant, recipeId, version ?? null],
  );
  return row;
}
