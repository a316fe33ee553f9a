import { RecipeId } from '@heddle/contracts';
import type { PreviewPlace, PreviewType } from '@heddle/contracts';
import type { DataSource } from '@heddle/persistence';

import { findPreviews } from '../files/file.repository.js';
import type { Hub } from '../hub.js';
import type { RecipeName } from '../orders/order.repository.js';

import { linkedPreview, uploadedPreview, viewNamed } from './manifest.js';
import { findDocument, savedRecipes } from './recipe.repository.js';

/** What stands before the type in `/recipe/{id}-{view}.png`. */
export interface AskedPreview {
  readonly tenant: string;
  readonly stem: string;
  readonly type: PreviewType;
}

/**
 * Where the preview is. Ids and codes of views may hold dashes: each is tried from the right until there is a recipe
 * with that view. Source: wire/drive.md 2.1.
 */
export async function findPreview(
  dataSource: DataSource,
  { tenant, stem, type }: AskedPreview,
  hub: Hub,
): Promise<PreviewPlace | undefined> {
  const ids = [...stem.matchAll(/-/g)]
    .map(({ index }) => stem.slice(0, index))
    .filter((id) => RecipeId.safeParse(id).success);
  for (const recipeId of await savedRecipes(dataSource, tenant, ids)) {
    const view = stem.slice(recipeId.length + 1);
    const found = await previewOf(dataSource, { tenant, recipeId }, { view, type }, hub);
    if (found !== undefined) return found === 'none' ? undefined : found;
  }
  return undefined;
}

/** Undefined: the recipe has no such view. */
async function previewOf(
  dataSource: DataSource,
  recipe: RecipeName,
  { view, type }: { readonly view: string; readonly type: PreviewType },
  hub: Hub,
): Promise<PreviewPlace | 'none' | undefined> {
  const { tenant, recipeId } = recipe;
  const [uploads, stored] = await Promise.all([
    findPreviews(dataSource, recipe),
    findDocument(dataSource, recipe),
  ]);
  const upload = uploadedPreview(uploads, { recipeId, view, type });
  if (upload !== undefined) {
    const { sha256 } = upload;
    return { source: { kind: 'hub', path: `/internal/contents/${tenant}/${sha256}`, sha256 } };
  }
  const described = stored && viewNamed(JSON.parse(stored.document), view);
  if (described === undefined) return undefined;
  const url = linkedPreview(described, type, hub);
  return url === undefined ? 'none' : { source: { kind: 'url', url } };
}
