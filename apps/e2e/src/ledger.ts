/** What the hub has acknowledged, and so owes. */
export interface OwedOrder {
  readonly orderNumber: string;
  readonly orderId: string;
  /** Recipes of acknowledged associations with a quantity above 0. */
  readonly recipeIds: Set<string>;
  /** The hub acknowledged its cancel. */
  cancelled: boolean;
}

/** Files that a delivered order has under its final names, as wire/drive.md 3.3 spells them. */
export function owedFiles(order: OwedOrder): readonly string[] {
  const { orderNumber, orderId, recipeIds } = order;
  return [...recipeIds].flatMap((recipeId) =>
    ['Recipe.json', 'Production-Front.pdf'].map(
      (name) => `${orderNumber}_ID_${orderId}_R_${recipeId}_${name}`,
    ),
  );
}

/** Kept by the one who posts: only what was answered 202 is in it. */
export class Ledger {
  readonly orders = new Map<string, OwedOrder>();
  /** The document acknowledged last, by recipe. */
  readonly recipes = new Map<string, string>();

  order(orderNumber: string, orderId: string): OwedOrder {
    const known = this.orders.get(orderNumber);
    if (known !== undefined) return known;
    const order: OwedOrder = { orderNumber, orderId, recipeIds: new Set(), cancelled: false };
    this.orders.set(orderNumber, order);
    return order;
  }
}
