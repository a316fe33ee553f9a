import { MAX_INLINE_CHARACTERS, ticketPath } from '@heddle/contracts';
import type { FileKind, FileSource, OfferedFile, OrderChangedV1, RecipeSavedV1 } from '@heddle/contracts';
import { cancelledFileName, fileSetNames } from '@heddle/destination-kit';

export type RecipeFile = OfferedFile & { readonly kind: FileKind };
export type Include = Readonly<Record<FileKind, boolean>>;

export interface FileSet {
  readonly files: readonly RecipeFile[];
  /** Recipes of the set that have not come. */
  readonly missing: readonly string[];
}

/** Files of one delivery. Its offer, its reports and its final event name each of them in one message. */
export const MAX_FILES = 2_000;
/** Of one offer: Kafka takes 8 MiB a message, headers included. Source: architecture, section 4. */
export const MAX_OFFER_BYTES = 7_500_000;

interface LinkedRecipe {
  readonly recipeId: string;
  readonly version: number;
  readonly files: RecipeSavedV1['files'];
}

/** Every recipe linked with a quantity above 0, each once. Source: wire/drive.md 3.2. */
export function orderFileSet(order: OrderChangedV1, include: Include): FileSet {
  const linked = new Map<string, LinkedRecipe>();
  const missing = new Set<string>();
  for (const { recipeId, itemQuantity, recipe } of order.items) {
    if (itemQuantity === 0) continue;
    // Each recipe has its document at least: a list without any was left out, as the event was too large for Kafka.
    if (recipe.state === 'waiting' || recipe.files.length === 0) missing.add(recipeId);
    else if (!linked.has(recipeId))
      linked.set(recipeId, { recipeId, version: recipe.version, files: recipe.files });
  }
  // Lists that repeat one of another line are left out first.
  for (const recipeId of linked.keys()) missing.delete(recipeId);
  return { files: filesOf(order, order, [...linked.values()], include), missing: [...missing] };
}

export function recipeFileSet(recipe: RecipeSavedV1, include: Include): FileSet {
  return { files: filesOf(recipe, null, [recipe], include), missing: [] };
}

/** The order document alone. `include` is about files of recipes. */
export function cancelledFileSet(order: OrderChangedV1): FileSet {
  const { tenant, channel } = order;
  const name = cancelledFileName({ tenant, channel, order });
  const text = inlineDocument(order);
  return {
    files: [{ name, kind: 'attachment', mimeType: 'application/json', source: { kind: 'inline', text } }],
    missing: [],
  };
}

/** As much of the document as fits into an offer: manifests of files go first, then the items. */
function inlineDocument(order: OrderChangedV1): string {
  const whole = JSON.stringify(order);
  if (whole.length <= MAX_INLINE_CHARACTERS) return whole;
  const items = order.items.map((item) => ({ ...item, recipe: { ...item.recipe, files: [] } }));
  const withoutFiles = JSON.stringify({ ...order, items });
  return withoutFiles.length <= MAX_INLINE_CHARACTERS
    ? withoutFiles
    : JSON.stringify({ ...order, items: [] });
}

function filesOf(
  { tenant, channel }: { readonly tenant: string; readonly channel: string },
  order: OrderChangedV1 | null,
  recipes: readonly LinkedRecipe[],
  include: Include,
): RecipeFile[] {
  const all = recipes.flatMap((recipe) => withTicket(recipe.files).map((file) => ({ ...file, recipe })));
  // Named before the choice: what is included changes no name.
  const names = fileSetNames(
    { tenant, channel, order },
    all.map(({ recipe: { recipeId }, name, mimeType }) => ({ recipeId, name, mimeType })),
  );
  return all.flatMap((file, index): RecipeFile[] => {
    const { kind, mimeType, recipe } = file;
    const name = names[index];
    if (!include[kind] || name === undefined) return [];
    return [{ name, kind, mimeType, source: sourceOf(file, { ...recipe, tenant }, order) }];
  });
}

type ManifestFile = RecipeSavedV1['files'][number];

function sourceOf(
  { kind, url, sha256, fault }: ManifestFile,
  recipe: LinkedRecipe & { readonly tenant: string },
  order: OrderChangedV1 | null,
): FileSource {
  const { tenant, recipeId, version, files } = recipe;
  if (fault !== undefined) return { kind: 'url', url, fault };
  if (kind === 'recipe' && url === documentUrl(files)) {
    if (sha256 === null) throw new TypeError('a recipe document without its hash');
    const path = `/internal/recipes/${tenant}/${encodeURIComponent(recipeId)}/${String(version)}`;
    return { kind: 'hub', path, sha256 };
  }
  // Uploaded: of a linked file nobody knows the content.
  if (sha256 !== null) return { kind: 'hub', path: `/internal/contents/${tenant}/${sha256}`, sha256 };
  if (kind !== 'ticket' || url !== ownTicketUrl(files)) return { kind: 'url', url };
  if (order === null) return { kind: 'hub', path: ticketPath(recipe, null) };
  const items = order.items.filter((item) => item.recipeId === recipeId && item.itemQuantity > 0);
  return { kind: 'hub', path: ticketPath(recipe, { ...order, items }) };
}

/** Manifests that were made before the hub drew tickets have none. */
function withTicket(files: readonly ManifestFile[]): readonly ManifestFile[] {
  const url = ownTicketUrl(files);
  if (url === undefined || files.some(({ kind }) => kind === 'ticket')) return files;
  const ticket = { name: 'Ticket.pdf', kind: 'ticket', mimeType: 'application/pdf', url } as const;
  return files.flatMap((file) =>
    file.kind === 'recipe' ? [file, { ...ticket, sizeBytes: null, sha256: null }] : [file],
  );
}

/** It stands first; an upload may be of its kind. */
function documentUrl(files: readonly ManifestFile[]): string | undefined {
  return files.find(({ kind }) => kind === 'recipe')?.url;
}

/** Where the hub serves the ticket that it draws: beside the document. A recipe with a PDF of its own links another one. */
function ownTicketUrl(files: readonly ManifestFile[]): string | undefined {
  return documentUrl(files)?.replace(/\.json$/, '.pdf');
}
