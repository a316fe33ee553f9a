import type { ManifestFile } from '@heddle/contracts';
import { enqueue } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';

import { manifestsOfUploads } from '../files/file.repository.js';
import type { Hub } from '../hub.js';
import { RECIPES_IN_ORDER } from '../orders/order.repository.js';
import { SCHEMA } from '../schema/migrations.js';

import { factsOf, readDocument } from './document-facts.js';
import type { DocumentFacts, RecipeChange } from './fold-recipes.js';
import { recipeEvent } from './recipe-event.js';
import { queueLinks, writeRecipes } from './recipe.repository.js';
import type { LockedRecipe } from './recipe.repository.js';

interface NewestRow {
  readonly tenant: string;
  readonly recipeId: string;
  readonly channel: string;
  readonly document: string;
  readonly temporary: boolean;
  readonly files: readonly ManifestFile[];
}

/** A recipe whose newest document was read again. */
export interface Reread {
  readonly head: LockedRecipe;
  readonly stored: NewestRow;
  /** As they are by now, with its uploads. */
  readonly facts: DocumentFacts;
}

/** Of locked recipes; those whose document has yet to come are left out. */
export async function readAgain(
  tx: Tx,
  heads: readonly LockedRecipe[],
  hub: Hub,
): Promise<readonly Reread[]> {
  const saved = heads.filter(({ version }) => version > 0);
  if (saved.length === 0) return [];
  const [rows, uploads] = await Promise.all([
    tx.query<NewestRow>(
      `SELECT v.tenant, v.recipe_id AS "recipeId", v.channel, v.document, v.temporary, v.files
       FROM ${RECIPES_IN_ORDER} AS k
       JOIN ${SCHEMA}.recipes r ON r.tenant = k.tenant AND r.recipe_id = k."recipeId"
       JOIN ${SCHEMA}.recipe_versions v
         ON v.tenant = r.tenant AND v.recipe_id = r.recipe_id AND v.version = r.version`,
      [JSON.stringify(saved.map(({ tenant, recipeId }) => ({ tenant, recipeId })))],
    ),
    // Of all: the number of uploads in a head is that of before this transaction.
    manifestsOfUploads(tx, saved, hub),
  ]);
  const newest = new Map(rows.map((row) => [`${row.tenant}:${row.recipeId}`, row]));
  return saved.map((head) => {
    const { recipeId } = head;
    const key = `${head.tenant}:${recipeId}`;
    const stored = newest.get(key);
    if (stored === undefined) throw new TypeError('a recipe without its newest version');
    return {
      head,
      stored,
      facts: factsOf(readDocument(stored, hub), uploads.get(key) ?? [], { recipeId, hub }),
    };
  });
}

/**
 * Other files are a new version of the recipe, as another document is.
 *
 * @returns the changes that the outbox holds, and how many recipes were queued for their orders.
 */
export async function renew(
  tx: Tx,
  recipes: readonly Reread[],
  cause: { readonly traceparent: string | undefined; readonly requestId: string },
  now: Date,
): Promise<{ readonly changes: readonly RecipeChange[]; readonly linksQueued: number }> {
  const heads = recipes.map(({ head, stored, facts }) => {
    const { tenant, recipeId, sha256, temporary, lastOffset } = head;
    const version = head.version + 1;
    const { channel, document, temporary: isTemporary } = stored;
    const newest: RecipeChange = {
      topic: 'recipe.updated',
      version,
      becamePermanent: false,
      message: {
        offset: lastOffset ?? 0n,
        replayed: false,
        traceparent: cause.traceparent,
        data: {
          tenant,
          recipeId,
          channel,
          document,
          temporary: isTemporary,
          acceptedAt: now.toISOString(),
          requestId: cause.requestId,
        },
        facts,
      },
    };
    return { tenant, recipeId, sha256, temporary, lastOffset, version, newest };
  });
  const changes = heads.map(({ newest }) => newest);
  const folded = { changes, heads, outdated: 0 };
  writeRecipes(tx, folded, now);
  enqueue(
    tx,
    SCHEMA,
    changes.map((change) => recipeEvent(change, now)),
  );
  return { changes, linksQueued: await queueLinks(tx, folded, now) };
}
