import type { ManifestFile, OrderChangedV1, OrderItem } from '@heddle/contracts';

import type { OrderChange, OrderState } from './order-state.js';

/** What an order needs of a recipe. Version 0: it was ordered, and is not there yet. */
export interface RecipeState {
  readonly version: number;
  readonly files: readonly ManifestFile[];
}

const WAITING: RecipeState = { version: 0, files: [] };

/** Recipes by tenant and id. */
export class RecipeStates {
  private readonly states = new Map<string, RecipeState>();

  set(tenant: string, recipeId: string, state: RecipeState): void {
    this.states.set(`${tenant}:${recipeId}`, state);
  }

  get(tenant: string, recipeId: string): RecipeState {
    return this.states.get(`${tenant}:${recipeId}`) ?? WAITING;
  }
}

/** The value of every `order.*` event. */
export function orderDocument(
  order: OrderChange['order'],
  recipes: RecipeStates,
  updatedAt: string,
): OrderChangedV1 {
  const { orderUid, tenant, channel, orderNumber, orderId, status, version, reason, cancelReason } = order;
  return {
    orderUid,
    tenant,
    channel,
    orderNumber,
    orderId,
    status,
    version,
    reason,
    cancelReason,
    acceptedAt: order.acceptedAt,
    updatedAt,
    items: itemsOf(order, recipes),
  };
}

function itemsOf({ tenant, items }: OrderState, recipes: RecipeStates): OrderItem[] {
  return items
    .filter(({ listed }) => listed)
    .map(({ itemId, recipeId, itemQuantity }) => {
      const { version, files } = recipes.get(tenant, recipeId);
      return { itemId, recipeId, itemQuantity, recipe: recipeOf(version, files) };
    });
}

export function recipeOf(version: number | null, files: readonly ManifestFile[]): OrderItem['recipe'] {
  return version === null || version === 0
    ? { state: 'waiting', version: null, files: [] }
    : { state: 'linked', version, files: files as ManifestFile[] };
}

/** Kafka takes 8 MiB a message, headers included. Source: architecture, section 4. */
export const MAX_DOCUMENT_BYTES = 7_500_000;

/**
 * JSON text of a document. One that Kafka would refuse loses file lists, from its last items on, and only as
 * many as it must: first those that repeat a recipe of an earlier item.
 *
 * @returns with the number of lists that were left out, 0 for all but absurdly large orders.
 */
export function documentText(
  document: OrderChangedV1,
  maxBytes: number = MAX_DOCUMENT_BYTES,
): { text: string; leftOut: number } {
  const text = JSON.stringify(document);
  let excess = Buffer.byteLength(text) - maxBytes;
  if (excess <= 0) return { text, leftOut: 0 };

  const seen = new Set<string>();
  const isRepeated = document.items.map(({ recipeId, itemQuantity }) => {
    if (itemQuantity === 0 || seen.has(recipeId)) return true;
    seen.add(recipeId);
    return false;
  });
  const items = [...document.items];
  let leftOut = 0;
  for (const repeated of [true, false]) {
    for (let index = items.length - 1; index >= 0 && excess > 0; index -= 1) {
      const item = items[index];
      if (item?.recipe.state !== 'linked' || isRepeated[index] !== repeated) continue;
      excess -= Buffer.byteLength(JSON.stringify(item.recipe.files)) - 2;
      items[index] = { ...item, recipe: { ...item.recipe, files: [] } };
      leftOut += 1;
    }
  }
  return { text: JSON.stringify({ ...document, items }), leftOut };
}
