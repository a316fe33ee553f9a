import type { TicketPaper } from '@heddle/contracts';

/** What is about the order: the ticket of a recipe alone has none. */
export interface TicketOrder {
  readonly orderNumber: string;
  readonly orderId: string | null;
  /** Of all items together, those that are not listed too. */
  readonly quantity: number;
  readonly items: readonly { readonly itemId: string; readonly itemQuantity: number }[];
  /** Items that are not listed. */
  readonly moreItems: number;
}

/** Everything that a ticket depends on: the same input gives the same bytes. */
export interface TicketInput {
  readonly recipeId: string;
  readonly version: number;
  /** JSON text of the recipe document, as it was sent. */
  readonly document: string;
  readonly order: TicketOrder | null;
  readonly paper: TicketPaper;
  /** PNG or JPEG bytes in the order of the document's views; null leaves a labelled empty frame. */
  readonly previews: readonly (Uint8Array | null)[];
}
