import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { MAX_TICKET_PATH_CHARACTERS, TicketQuery, ticketPath } from './tickets.js';

const recipe = { tenant: 'demo', recipeId: '2-aB3dE6gH9jK2mN5p', version: 3 };

/** As a server reads a query: names that come several times are lists. */
function queryOf(path: string): TicketQuery {
  const given = new URLSearchParams(path.slice(path.indexOf('?') + 1));
  return TicketQuery.parse(
    Object.fromEntries(
      [...new Set(given.keys())].map((name) => {
        const values = given.getAll(name);
        return [name, values.length === 1 ? values[0] : values];
      }),
    ),
  );
}

describe('the address of a ticket', () => {
  it('is that of a version of a recipe', () => {
    expect(ticketPath(recipe, null)).toBe('/internal/tickets/demo/2-aB3dE6gH9jK2mN5p/3.pdf');
  });

  it('says all that is about the order', () => {
    const order = {
      orderNumber: '10 22/Ä',
      orderId: '6182665224482',
      items: [
        { itemId: 'a:b', itemQuantity: 2 },
        { itemId: '注文', itemQuantity: 1 },
      ],
    };
    expect(queryOf(ticketPath(recipe, order))).toEqual({
      orderNumber: '10 22/Ä',
      orderId: '6182665224482',
      quantity: 3,
      item: order.items,
      moreItems: 0,
    });
  });

  it('stays short however large the order is: what is not listed is counted', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
      .filter((id) => !/\p{Cc}/u.test(id));
    const order = fc.record({
      orderNumber: text,
      orderId: fc.option(text),
      items: fc.array(fc.record({ itemId: text, itemQuantity: fc.integer({ min: 1, max: 1_000_000 }) }), {
        maxLength: 300,
        size: 'max',
      }),
    });
    fc.assert(
      fc.property(order, (given) => {
        const path = ticketPath(recipe, given);
        expect(path.length).toBeLessThanOrEqual(MAX_TICKET_PATH_CHARACTERS);
        const read = queryOf(path);
        expect(read.item.length + read.moreItems).toBe(given.items.length);
        expect(read.item).toEqual(given.items.slice(0, read.item.length));
        expect(read.quantity).toBe(given.items.reduce((sum, { itemQuantity }) => sum + itemQuantity, 0));
      }),
    );
  });
});
