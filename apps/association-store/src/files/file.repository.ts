import type { FileKind, ManifestFile, UploadedFile } from '@heddle/contracts';
import { execute, inTransaction, query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';

import { baseOf } from '../hub.js';
import type { Hub } from '../hub.js';
import type { RecipeName } from '../orders/order.repository.js';
import { SCHEMA } from '../schema/migrations.js';

/** Bytes of an upload that have come. */
export interface ReceivedContent {
  readonly objectKey: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface RecipeFile extends UploadedFile {
  readonly kind: FileKind;
}

export interface StoredContent {
  readonly objectKey: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

const FILE_COLUMNS = `f.name, f.kind, f.mime_type AS "mimeType", c.size_bytes::float8 AS "sizeBytes", f.sha256`;
const FILE_TABLES = `${SCHEMA}.recipe_files f
  JOIN ${SCHEMA}.file_contents c ON c.tenant = f.tenant AND c.sha256 = f.sha256`;

/** Before the first byte: what a killed process leaves in the storage is known by it. */
export async function announceObject(
  dataSource: DataSource,
  objectKey: string,
  deleteAfter: Date,
): Promise<void> {
  await execute(
    dataSource,
    `INSERT INTO ${SCHEMA}.loose_objects (object_key, delete_after) VALUES ($1, $2)`,
    [objectKey, deleteAfter],
  );
}

export async function forgetObject(dataSource: DataSource, objectKey: string): Promise<void> {
  await execute(dataSource, `DELETE FROM ${SCHEMA}.loose_objects WHERE object_key = $1`, [objectKey]);
}

/**
 * Names the content, under the object that has it already or else under the one that was received.
 *
 * @returns whether the received object is the one; undefined where it has been cleaned away meanwhile.
 */
export async function keepContent(
  tx: Tx,
  tenant: string,
  { objectKey, sizeBytes, sha256 }: ReceivedContent,
  now: Date,
): Promise<boolean | undefined> {
  const [kept] = await tx.query<{ object_key: string }>(
    `INSERT INTO ${SCHEMA}.file_contents (tenant, sha256, size_bytes, object_key, touched_at)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (tenant, sha256) DO UPDATE SET touched_at = excluded.touched_at
     RETURNING object_key`,
    [tenant, sha256, sizeBytes, objectKey, now],
  );
  if (kept?.object_key !== objectKey) return false;
  const announced = await tx.execute(`DELETE FROM ${SCHEMA}.loose_objects WHERE object_key = $1`, [
    objectKey,
  ]);
  return announced === 0 ? undefined : true;
}

/** The recipe is locked. */
export async function findLocked(
  tx: Tx,
  { tenant, recipeId }: RecipeName,
  name: string,
): Promise<Pick<RecipeFile, 'kind' | 'mimeType' | 'sha256'> | undefined> {
  const [file] = await tx.query<Pick<RecipeFile, 'kind' | 'mimeType' | 'sha256'>>(
    `SELECT kind, mime_type AS "mimeType", sha256 FROM ${SCHEMA}.recipe_files
     WHERE tenant = $1 AND recipe_id = $2 AND name = $3`,
    [tenant, recipeId, name],
  );
  return file;
}

export function writeFile(tx: Tx, { tenant, recipeId }: RecipeName, file: RecipeFile, now: Date): void {
  tx.post(
    `INSERT INTO ${SCHEMA}.recipe_files AS f
       (tenant, recipe_id, name, kind, mime_type, sha256, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
     ON CONFLICT (tenant, recipe_id, name) DO UPDATE
       SET kind = excluded.kind, mime_type = excluded.mime_type, sha256 = excluded.sha256,
           updated_at = excluded.updated_at`,
    [tenant, recipeId, file.name, file.kind, file.mimeType, file.sha256, now],
  );
  countFiles(tx, { tenant, recipeId }, now);
}

export function deleteFile(tx: Tx, { tenant, recipeId }: RecipeName, name: string, now: Date): void {
  tx.post(`DELETE FROM ${SCHEMA}.recipe_files WHERE tenant = $1 AND recipe_id = $2 AND name = $3`, [
    tenant,
    recipeId,
    name,
  ]);
  countFiles(tx, { tenant, recipeId }, now);
}

/** From now on the content is kept for as long as deliveries may still ask for it. */
export function touchContent(tx: Tx, tenant: string, sha256: string, now: Date): void {
  tx.post(`UPDATE ${SCHEMA}.file_contents SET touched_at = $3 WHERE tenant = $1 AND sha256 = $2`, [
    tenant,
    sha256,
    now,
  ]);
}

function countFiles(tx: Tx, { tenant, recipeId }: RecipeName, now: Date): void {
  tx.post(
    `UPDATE ${SCHEMA}.recipes SET updated_at = $3, uploads = (
       SELECT count(*) FROM ${SCHEMA}.recipe_files WHERE tenant = $1 AND recipe_id = $2)
     WHERE tenant = $1 AND recipe_id = $2`,
    [tenant, recipeId, now],
  );
}

/** Uploaded files of recipes that are locked, as they stand in manifests: by tenant and id. */
export async function manifestsOfUploads(
  tx: Tx,
  recipes: readonly RecipeName[],
  hub: Hub,
): Promise<ReadonlyMap<string, ManifestFile[]>> {
  if (recipes.length === 0) return new Map();
  const rows = await tx.query<RecipeFile & RecipeName>(
    `SELECT f.tenant, f.recipe_id AS "recipeId", ${FILE_COLUMNS}
     FROM json_to_recordset($1) AS k (tenant text, "recipeId" text)
     JOIN ${FILE_TABLES} ON f.tenant = k.tenant AND f.recipe_id = k."recipeId"
     ORDER BY f.tenant, f.recipe_id, f.name`,
    [JSON.stringify(recipes.map(({ tenant, recipeId }) => ({ tenant, recipeId })))],
  );
  const base = baseOf(hub);
  return new Map(
    [...Map.groupBy(rows, ({ tenant, recipeId }) => `${tenant}:${recipeId}`)].map(([key, files]) => [
      key,
      files.map(({ recipeId, ...file }) => ({
        name: file.name,
        kind: file.kind,
        mimeType: file.mimeType,
        url: `${base}/api/v2/recipe/${recipeId}/files/${encodeURIComponent(file.name)}`,
        sizeBytes: file.sizeBytes,
        sha256: file.sha256,
      })),
    ]),
  );
}

export async function findFile(
  dataSource: DataSource,
  { tenant, recipeId }: RecipeName,
  name: string,
): Promise<(RecipeFile & StoredContent) | undefined> {
  const [file] = await query<RecipeFile & StoredContent>(
    dataSource,
    `SELECT ${FILE_COLUMNS}, c.object_key AS "objectKey" FROM ${FILE_TABLES}
     WHERE f.tenant = $1 AND f.recipe_id = $2 AND f.name = $3`,
    [tenant, recipeId, name],
  );
  return file;
}

export async function findPreviews(
  dataSource: DataSource,
  { tenant, recipeId }: RecipeName,
): Promise<readonly Pick<RecipeFile, 'name' | 'kind' | 'sha256'>[]> {
  return await query<Pick<RecipeFile, 'name' | 'kind' | 'sha256'>>(
    dataSource,
    `SELECT name, kind, sha256 FROM ${SCHEMA}.recipe_files
     WHERE tenant = $1 AND recipe_id = $2 AND kind = 'preview' ORDER BY name`,
    [tenant, recipeId],
  );
}

export async function findContent(
  dataSource: DataSource,
  tenant: string,
  sha256: string,
): Promise<StoredContent | undefined> {
  const [content] = await query<StoredContent>(
    dataSource,
    `SELECT object_key AS "objectKey", size_bytes::float8 AS "sizeBytes", sha256
     FROM ${SCHEMA}.file_contents WHERE tenant = $1 AND sha256 = $2`,
    [tenant, sha256],
  );
  return content;
}

/** By their hashes; those that are gone are missing. */
export async function findContents(
  dataSource: DataSource,
  tenant: string,
  hashes: readonly string[],
): Promise<ReadonlyMap<string, StoredContent>> {
  if (hashes.length === 0) return new Map();
  const rows = await query<StoredContent>(
    dataSource,
    `SELECT object_key AS "objectKey", size_bytes::float8 AS "sizeBytes", sha256
     FROM ${SCHEMA}.file_contents WHERE tenant = $1 AND sha256 = ANY ($2)`,
    [tenant, hashes],
  );
  return new Map(rows.map((content) => [content.sha256, content]));
}

const CONTENTS_PER_STEP = 100;
const OBJECTS_PER_STEP = 20;

/**
 * Forgets contents that no recipe names and that nothing has touched since; their objects become loose.
 *
 * @returns how many.
 */
export async function releaseContents(
  dataSource: DataSource,
  untouchedSince: Date,
  now: Date,
): Promise<number> {
  return await execute(
    dataSource,
    `WITH gone AS (
       DELETE FROM ${SCHEMA}.file_contents WHERE (tenant, sha256) IN (
         SELECT c.tenant, c.sha256 FROM ${SCHEMA}.file_contents c
         WHERE c.touched_at < $1
           AND NOT EXISTS (SELECT FROM ${SCHEMA}.recipe_files f
                           WHERE f.tenant = c.tenant AND f.sha256 = c.sha256)
         ORDER BY c.touched_at LIMIT ${String(CONTENTS_PER_STEP)} FOR UPDATE SKIP LOCKED)
       RETURNING object_key
     )
     INSERT INTO ${SCHEMA}.loose_objects (object_key, delete_after) SELECT object_key, $2 FROM gone`,
    [untouchedSince, now],
  );
}

/**
 * Deletes objects that nothing names and whose time is over. They stay locked meanwhile, so that an upload that
 * took too long finds its own gone and not half gone.
 *
 * @returns how many.
 */
export async function deleteLoose(
  dataSource: DataSource,
  now: Date,
  remove: (objectKey: string) => Promise<void>,
): Promise<number> {
  return await inTransaction(dataSource, async (tx) => {
    const loose = await tx.query<{ object_key: string }>(
      `SELECT object_key FROM ${SCHEMA}.loose_objects WHERE delete_after <= $1
       ORDER BY delete_after LIMIT ${String(OBJECTS_PER_STEP)} FOR UPDATE SKIP LOCKED`,
      [now],
    );
    const keys = loose.map(({ object_key }) => object_key);
    await Promise.all(keys.map(remove));
    if (keys.length === 0) return 0;
    return await tx.execute(`DELETE FROM ${SCHEMA}.loose_objects WHERE object_key = ANY ($1)`, [keys]);
  });
}
