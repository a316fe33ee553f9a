import { describe, expect, it } from '@jest/globals';

import { operations } from '@heddle/contracts';

import { methodsAt, operationsAt, routeOf } from './route-table.js';

describe('the table of operations', () => {
  it('has each operation at its method and route, and one permission at each of them', () => {
    for (const operation of operations) {
      const found = operationsAt(operation.method, routeOf(operation));
      expect(found).toContain(operation);
      expect(new Set(found.map(({ permission }) => permission)).size).toBe(1);
    }
    const idsAt = (method: string, route: string) => operationsAt(method, route).map(({ id }) => id);
    expect(idsAt('HEAD', '/api/v2/orders')).toEqual(['listOrders']);
    expect(idsAt('GET', '/recipe/:file')).toEqual([
      'getRecipe',
      'getTicket',
      'getPngPreview',
      'getJpgPreview',
    ]);
    expect(idsAt('GET', '/api/v2/recipe/order')).toEqual([]);
  });

  it('knows the methods of an address in any case, with parameters and a query', () => {
    expect(methodsAt('/API/V2/Keys?apikey=x')).toEqual(['POST', 'GET', 'HEAD']);
    expect(methodsAt('/api/v2/integrations/abc/approve/')).toEqual(['POST']);
    expect(methodsAt('/recipe/a.b.json')).toEqual(['GET', 'HEAD']);
    expect(methodsAt('/recipe/a.pdf?paper=letter')).toEqual(['GET', 'HEAD']);
    expect(methodsAt('/recipe/a-Front.jpg')).toEqual(['GET', 'HEAD']);
    expect(methodsAt('/recipe/a.png')).toBeUndefined();
    expect(methodsAt('/')).toBeUndefined();
  });
});
