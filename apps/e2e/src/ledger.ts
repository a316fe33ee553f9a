export const CANCEL_REASON = 'customer';

/** One line of an order, as acknowledged last. */
export interface OwedItem {
  readonly itemId: string;
  readonly recipeId: string;
  readonly itemQuantity: number;
}

/** When the hub acknowledged a cancel, seen from the order's first association. */
export type Cancelled = 'never' | 'before' | 'after';

/** What the hub has acknowledged, and so owes. */
export class OwedOrder {
  cancelled: Cancelled = 'never';
  /** How often a line got another quantity. */
  quantityChanges = 0;
  private readonly byName = new Map<string, OwedItem>();

  constructor(
    readonly orderNumber: string,
    readonly orderId: string,
  ) {}

  /** In the order of their first arrival. */
  get items(): readonly OwedItem[] {
    return [...this.byName.values()];
  }

  associate(items: readonly OwedItem[]): void {
    for (const { itemId, recipeId, itemQuantity } of items) {
      const name = `${itemId}\t${recipeId}`;
      if ((this.byName.get(name)?.itemQuantity ?? itemQuantity) !== itemQuantity) this.quantityChanges += 1;
      this.byName.set(name, { itemId, recipeId, itemQuantity });
    }
  }

  cancel(): void {
    this.cancelled = this.byName.size === 0 ? 'before' : 'after';
  }
}

/** Kept by the one who posts: only what was answered 202 is in it. */
export class Ledger {
  readonly orders = new Map<string, OwedOrder>();
  /** The document acknowledged last, by recipe. */
  readonly recipes = new Map<string, string>();
  /** Every document that was posted, also those not acknowledged yet, by recipe. */
  readonly posted = new Map<string, Set<string>>();

  /** @param hasTickets whether the integration includes them. */
  constructor(private readonly hasTickets: boolean) {}

  /** Files that a delivered order has under its final names, as wire/drive.md 3.3 spells them. */
  owedFiles({ orderNumber, orderId, items }: OwedOrder): readonly string[] {
    const used = items.filter(({ itemQuantity }) => itemQuantity > 0).map(({ recipeId }) => recipeId);
    const names = ['Recipe.json', 'Production-Front.pdf', ...(this.hasTickets ? ['Ticket.pdf'] : [])];
    return [...new Set(used)].flatMap((recipeId) =>
      names.map((name) => `${orderNumber}_ID_${orderId}_R_${recipeId}_${name}`),
    );
  }

  order(orderNumber: string, orderId: string): OwedOrder {
    const known = this.orders.get(orderNumber);
    if (known !== undefined) return known;
    const order = new OwedOrder(orderNumber, orderId);
    this.orders.set(orderNumber, order);
    return order;
  }

  /** What a run has asked for beyond plain orders: a check of something that never came proves nothing. */
  tally(): {
    readonly cancelledBefore: number;
    readonly cancelledAfter: number;
    readonly quantityChanges: number;
  } {
    const orders = [...this.orders.values()];
    const cancelled = (when: Cancelled): number => orders.filter((order) => order.cancelled === when).length;
    return {
      cancelledBefore: cancelled('before'),
      cancelledAfter: cancelled('after'),
      quantityChanges: orders.reduce((sum, order) => sum + order.quantityChanges, 0),
    };
  }
}
