import { describe, expect, it } from '@jest/globals';

import { AssociationsRequest, DeliveriesQuery } from '@heddle/contracts';

import { parseInput, parseQuery } from './faults.js';
import type { ProblemError } from './problem.js';

function faults(input: unknown): unknown {
  try {
    parseInput(AssociationsRequest, input);
  } catch (error) {
    return (error as ProblemError).options.errors;
  }
  return [];
}

const GOOD = { recipeId: 'DRIVE-001', orderNumber: '1001', itemId: '2', itemQuantity: 1 };

describe('the faults of a request', () => {
  it('are listed all at once with pointer, code and our words', () => {
    expect(
      faults([GOOD, { ...GOOD, itemQuantity: 1.5, orderNumber: '' }, { ...GOOD, itemId: undefined }]),
    ).toEqual([
      { pointer: '/1/orderNumber', code: 'length', message: 'orderNumber must have 1 to 128 characters' },
      {
        pointer: '/1/itemQuantity',
        code: 'type',
        message: 'itemQuantity must be an integer from 0 to 1000000',
      },
      { pointer: '/2/itemId', code: 'required', message: 'itemId is required' },
    ]);
  });

  it.each([
    [{}, '', 'array'],
    [[], '', 'array'],
    [Array(1001).fill(GOOD), '', 'too_many'],
    [[{ ...GOOD, itemQuantity: 1_000_001 }], '/0/itemQuantity', 'range'],
    [[{ ...GOOD, recipeId: '.hidden' }], '/0/recipeId', 'pattern'],
    [[{ ...GOOD, orderNumber: {} }], '/0/orderNumber', 'type'],
    [[{ ...GOOD, orderNumber: 'a\u0007b' }], '/0/orderNumber', 'pattern'],
  ])('name the place and the kind (case %#)', (input, pointer, code) => {
    expect(faults(input)).toMatchObject([{ pointer, code }]);
  });

  it('accept integers and links and drop what is not named', () => {
    const link = 'https://cz.drrv.co/recipe/2-aB3dE6gH9jK2mN5p.json?x=1';
    expect(
      parseInput(AssociationsRequest, [
        { ...GOOD, recipeId: link, orderNumber: 1001, orderId: '', email: 'x' },
      ]),
    ).toEqual([{ ...GOOD, recipeId: '2-aB3dE6gH9jK2mN5p', orderNumber: '1001', orderId: undefined }]);
  });

  it('of a query are named after its parameters', () => {
    const refused = (query: object): unknown => {
      try {
        return parseQuery(DeliveriesQuery, query);
      } catch (error) {
        return (error as ProblemError).options.errors;
      }
    };
    expect(refused({ limit: '0', state: 'odd', unheard: '1' })).toMatchObject([
      { pointer: '?limit', code: 'range' },
      { pointer: '?state', code: 'pattern' },
      { pointer: '?', code: 'unknown' },
    ]);
  });
});
