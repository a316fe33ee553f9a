import { describe, expect, it } from '@jest/globals';

import { presentedKey } from './presented-key.js';

describe('presentedKey', () => {
  it.each([
    ['Authorization', { headers: { authorization: 'Bearer K' } }],
    ['Authentication', { headers: { authentication: 'Bearer K' } }],
    ['the query', { headers: {}, query: { apikey: 'K' } }],
    ['a header whose scheme is spelled otherwise', { headers: { authorization: 'bEARER K' } }],
    ['the first of a repeated parameter', { headers: {}, query: { apikey: ['K', 'L'] } }],
    ['the query beside another scheme', { headers: { authorization: 'Basic eDp5' }, query: { apikey: 'K' } }],
  ])('finds the key in %s', (_where, request) => {
    expect(presentedKey(request)).toBe('K');
  });

  it('takes the first place that has one', () => {
    const query = { apikey: 'C' };
    const authentication = 'Bearer B';
    expect(presentedKey({ headers: { authorization: 'Bearer A', authentication }, query })).toBe('A');
    expect(presentedKey({ headers: { authentication }, query })).toBe('B');
  });

  it.each([
    [{ headers: {} }],
    [{ headers: { authorization: 'K' }, query: null }],
    [{ headers: { authorization: 'Bearer ' }, query: { apikey: '' } }],
    [{ headers: {}, query: { apikey: { nested: 'K' } } }],
    [{ headers: { authorization: 'Bearer K L' } }],
  ])('finds none in %j', (request) => {
    expect(presentedKey(request)).toBeUndefined();
  });
});
