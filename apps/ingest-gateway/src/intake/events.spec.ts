import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  AssociationReceivedV1,
  AssociationsRequest,
  CancellationReceivedV1,
  CancellationsRequest,
  RecipeReceivedV1,
} from '@heddle/contracts';

import { associationEvents } from '../associations/association-events.js';
import { cancellationEvents } from '../cancellations/cancellation.controller.js';
import { recipeEvents } from '../recipes/recipe.controller.js';

import { countDroppedFields } from './dropped-fields.js';
import type { Acceptance } from './received-event.js';

const ACCEPTANCE: Acceptance = {
  tenant: 'demo',
  channel: 'default',
  acceptedAt: '2025-03-04T10:20:30.000Z',
  requestId: 'r-1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};
const foreignId = fc.oneof(fc.stringMatching(/^[A-Za-z0-9]{1,20}$/), fc.maxSafeInteger());
const association = fc.record(
  {
    recipeId: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/),
    orderNumber: fc.constantFrom<string | number>('1', 2, ' 1 ', '3'),
    orderId: fc.option(fc.oneof(foreignId, fc.constant(''))),
    itemId: foreignId,
    itemQuantity: fc.integer({ min: 0, max: 1_000_000 }),
    email: fc.constant('jo@example.org'),
  },
  { requiredKeys: ['recipeId', 'orderNumber', 'itemId', 'itemQuantity'] },
);

describe('events of a request', () => {
  it('obey their contract, one per order number, and lose no item and no order among them', () => {
    fc.assert(
      fc.property(fc.array(association, { minLength: 1, maxLength: 20 }), (sent) => {
        const accepted = AssociationsRequest.parse(sent);
        const events = associationEvents(accepted, ACCEPTANCE);
        const values = events.map(({ data }) => AssociationReceivedV1.strict().parse(JSON.parse(data)));
        expect(new Set(values.map(({ orderNumber }) => orderNumber)).size).toBe(events.length);
        for (const { orderNumber, associations } of values) {
          const wanted = accepted
            .filter((item) => item.orderNumber === orderNumber)
            .map(({ orderNumber: _, ...item }) => item);
          expect(associations).toEqual(JSON.parse(JSON.stringify(wanted)));
        }
        expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
        expect(events.map(({ key }) => key)).toEqual(values.map(({ orderNumber }) => `demo:${orderNumber}`));
        expect(JSON.stringify(events)).not.toContain('jo@example.org');
      }),
    );
  });

  it('of cancels and recipes obey theirs', () => {
    const cancels = CancellationsRequest.parse([
      { orderNumber: 1, orderId: null },
      { orderNumber: '2', reason: 'STAFF' },
    ]);
    expect(
      cancellationEvents(cancels, ACCEPTANCE).map(({ data }) =>
        CancellationReceivedV1.strict().parse(JSON.parse(data)),
      ),
    ).toMatchObject([{ orderNumber: '1' }, { orderNumber: '2', reason: 'staff' }]);
    const [recipe] = recipeEvents([{ recipeId: 'r', temporary: false, document: '{"id":"r"}' }], ACCEPTANCE);
    expect(RecipeReceivedV1.strict().parse(JSON.parse(recipe?.data ?? ''))).toMatchObject({
      document: '{"id":"r"}',
    });
  });

  it('count what was dropped at every depth', () => {
    const allowed = new Set(['a']);
    expect(countDroppedFields([{ a: 1 }, { a: 2 }], allowed)).toBe(0);
    expect(countDroppedFields([{ a: 1, b: 2 }, { c: { d: 1, e: [{ f: 1 }, 2] } }], allowed)).toBe(5);
  });
});
