import { z } from 'zod';

import { ForeignId } from './identifiers.js';

export const TICKET_PAPERS = ['a4', 'letter'] as const;
export const TicketPaper = z.enum(TICKET_PAPERS);
export type TicketPaper = z.infer<typeof TicketPaper>;

/** What a ticket says of an order. */
export interface TicketOrderData {
  readonly orderNumber: string;
  readonly orderId: string | null;
  /** The lines that use the recipe, with a quantity above 0. */
  readonly items: readonly { readonly itemId: string; readonly itemQuantity: number }[];
}

/**
 * Longest path of a ticket. Sealed into a link it grows by half, and stays within what mail programs, hooks and proxies
 * take. Items that would make it longer are counted, and not listed.
 */
export const MAX_TICKET_PATH_CHARACTERS = 2_000;

/**
 * Where the association store serves the ticket of one version of a recipe. What is about the order stands in the query:
 * the store keeps no old versions of orders, and the same address gives the same ticket.
 */
export function ticketPath(
  recipe: { readonly tenant: string; readonly recipeId: string; readonly version: number },
  order: TicketOrderData | null,
): string {
  const path = `/internal/tickets/${recipe.tenant}/${encodeURIComponent(recipe.recipeId)}/${String(recipe.version)}.pdf`;
  if (order === null) return path;
  const { orderNumber, orderId, items } = order;
  const quantity = items.reduce((sum, { itemQuantity }) => sum + itemQuantity, 0);
  const head = new URLSearchParams({
    orderNumber,
    ...(orderId !== null && { orderId }),
    quantity: String(quantity),
  });
  const whole = [`${path}?${head.toString()}`];
  let left = MAX_TICKET_PATH_CHARACTERS - (whole[0]?.length ?? 0) - '&moreItems=1000'.length;
  let listed = 0;
  for (const { itemId, itemQuantity } of items) {
    const item = `&${new URLSearchParams({ item: `${String(itemQuantity)}:${itemId}` }).toString()}`;
    left -= item.length;
    if (left < 0) break;
    whole.push(item);
    listed += 1;
  }
  if (listed < items.length) whole.push(`&moreItems=${String(items.length - listed)}`);
  return whole.join('');
}

const Count = z.coerce.number().int().min(0).max(1_000_000_000_000);

const TicketItem = z
  .string()
  .regex(/^\d{1,7}:[^\p{Cc}]{1,128}$/u)
  .transform((text) => {
    const at = text.indexOf(':');
    return { itemId: text.slice(at + 1), itemQuantity: Number(text.slice(0, at)) };
  });

/** The query of `ticketPath`, as a server reads it. Without an order number it is the ticket of a recipe alone. */
export const TicketQuery = z.object({
  orderNumber: ForeignId.optional(),
  orderId: ForeignId.optional(),
  quantity: Count.default(0),
  item: z.union([TicketItem.transform((item) => [item]), z.array(TicketItem).max(1_000)]).default([]),
  moreItems: Count.default(0),
  paper: TicketPaper.optional(),
});
export type TicketQuery = z.infer<typeof TicketQuery>;
