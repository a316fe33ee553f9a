import { describe, expect, it } from '@jest/globals';

import { operations } from '@heddle/contracts';

import { methodsAt, operationAt, routeOf } from './route-table.js';

describe('the table of operations', () => {
  it('has one operation at each method and route, found again by them', () => {
    for (const operation of operations)
      expect(operationAt(operation.method, routeOf(operation))).toBe(operation);
    expect(operationAt('HEAD', '/api/v2/orders')?.id).toBe('listOrders');
    expect(operationAt('GET', '/recipe/:file')?.id).toBe('getRecipe');
    expect(operationAt('GET', '/api/v2/recipe/order')).toBeUndefined();
  });

  it('knows the methods of an address in any case, with parameters and a query', () => {
    expect(methodsAt('/API/V2/Keys?apikey=x')).toEqual(['POST', 'GET', 'HEAD']);
    expect(methodsAt('/api/v2/integrations/abc/approve/')).toEqual(['POST']);
    expect(methodsAt('/recipe/a.b.json')).toEqual(['GET', 'HEAD']);
    expect(methodsAt('/recipe/a.pdf')).toBeUndefined();
    expect(methodsAt('/')).toBeUndefined();
  });
});
