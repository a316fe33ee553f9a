import type { RecipeStates } from '../orders/order-document.js';
import type { OrderChange, OrderState } from '../orders/order-state.js';

/** Orders older than this keep the recipe version that they were made with. Source: architecture, section 3. */
export const RECIPE_UPDATES_FOR_MS = 30 * 24 * 60 * 60 * 1_000;

/** What made a link due. */
export interface LinkCause {
  readonly tenant: string;
  readonly recipeId: string;
  readonly acceptedAt: string;
  readonly traceparent: string | undefined;
}

/**
 * One change for each order whose recipes have moved on since its newest event, however many of them. State
 * decides: an order that has meanwhile named the recipe's version by another event gets none. Pure.
 *
 * A recipe that has come reaches cancelled orders too, so that nobody takes them for waiting; a recipe that got
 * other content does not.
 */
export function foldLinks(
  orders: readonly (OrderState & { readonly createdAt: Date })[],
  recipes: RecipeStates,
  causes: readonly LinkCause[],
  now: Date,
): OrderChange[] {
  const causeOf = new Map(causes.map((cause) => [`${cause.tenant}:${cause.recipeId}`, cause]));
  return orders.flatMap((order): OrderChange[] => {
    const { tenant, version, reason } = order;
    if (version === 0 || reason === null) return [];
    const used = order.items.filter(({ itemQuantity }) => itemQuantity > 0);
    const current = (recipeId: string): number => recipes.get(tenant, recipeId).version;
    const linked = used.filter((item) => item.recipeVersion === null && current(item.recipeId) > 0);
    const updated =
      order.status === 'open' && now.getTime() - order.createdAt.getTime() < RECIPE_UPDATES_FOR_MS
        ? used.filter((item) => item.recipeVersion !== null && current(item.recipeId) > item.recipeVersion)
        : [];
    if (linked.length + updated.length === 0) return [];

    const cause = [...linked, ...updated]
      .flatMap(({ recipeId }) => causeOf.get(`${tenant}:${recipeId}`) ?? [])
      .reduce<LinkCause | undefined>(
        (latest, next) => (latest === undefined || next.acceptedAt > latest.acceptedAt ? next : latest),
        undefined,
      );
    return [
      {
        topic: 'order.updated',
        order: {
          ...order,
          version: version + 1,
          reason: linked.length > 0 ? 'recipe-linked' : 'recipe-updated',
          acceptedAt: cause?.acceptedAt ?? order.acceptedAt,
        },
        traceparent: cause?.traceparent,
      },
    ];
  });
}
