import { connect } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { Problem } from '@heddle/contracts';

import { startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';
import { readTopic } from './read-topic.js';

const ORDERS = '/api/v2/recipe/order';
const RECIPES = '/api/v2/recipe';
const GOOD = { recipeId: 'R', orderNumber: '1', itemId: '1', itemQuantity: 1 };

describe('bad input', () => {
  let gateway: TestGateway;
  let key: string;

  beforeAll(async () => {
    gateway = await startTestGateway();
    ({ key } = await gateway.key(['order-tracking', 'recipes:write']));
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.close();
  });

  const send = async (
    body: string | Uint8Array<ArrayBuffer>,
    { path = ORDERS, headers = {} }: { path?: string; headers?: Record<string, string> } = {},
  ): Promise<Response> =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      body,
    });
  const problem = async (answer: Response): Promise<Problem> => {
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    const parsed = Problem.parse(await answer.json());
    expect(parsed).toMatchObject({ type: 'about:blank', status: answer.status });
    expect(parsed.requestId).toBe(answer.headers.get('x-request-id'));
    return parsed;
  };
  const faults = async (body: string, path?: string): Promise<Record<string, string>> => {
    const answer = await send(body, path === undefined ? {} : { path });
    const { errors = [] } = await problem(answer);
    expect(answer.status).toBe(400);
    return Object.fromEntries(errors.map(({ pointer, code }) => [pointer, code]));
  };

  it('lists every fault with its pointer, and repeats neither values nor unknown names', async () => {
    const answer = await send(
      JSON.stringify([
        GOOD,
        {
          recipeId: '.secret-value',
          orderNumber: { 'jo@example.org': 1 },
          itemId: 'a\u0007b',
          itemQuantity: 1.5,
        },
        { recipeId: 5, itemId: 'x'.repeat(129), itemQuantity: -1, orderId: true },
        'Jo Doe',
        null,
        { ...GOOD, itemQuantity: 1_000_001, orderNumber: 9_007_199_254_740_993 },
      ]),
    );
    const { errors = [], detail } = await problem(answer);
    expect(detail).toBe('5 invalid items');
    expect(errors.map(({ pointer, code }) => `${pointer} ${code}`)).toEqual([
      '/1/recipeId pattern',
      '/1/orderNumber type',
      '/1/itemId pattern',
      '/1/itemQuantity type',
      '/2/recipeId type',
      '/2/orderNumber required',
      '/2/orderId type',
      '/2/itemId length',
      '/2/itemQuantity range',
      '/3 type',
      '/4 type',
      '/5/orderNumber range',
      '/5/itemQuantity range',
    ]);
    expect(errors.find(({ pointer }) => pointer === '/1/itemQuantity')?.message).toBe(
      'itemQuantity must be an integer from 0 to 1000000',
    );
    expect(JSON.stringify(errors)).not.toMatch(/secret-value|jo@example|Jo Doe|xxx/);
  });

  it('refuses what is no array of 1 to 1,000', async () => {
    expect(await faults('[]')).toEqual({ '': 'array' });
    expect(await faults('{}')).toEqual({ '': 'array' });
    expect(await faults('"text"')).toEqual({ '': 'array' });
    expect(await faults('')).toEqual({ '': 'required' });
    expect(await faults(JSON.stringify(Array(1_001).fill(GOOD)))).toEqual({ '': 'too_many' });
    expect((await send(JSON.stringify(Array(1_000).fill(GOOD)))).status).toBe(202);
  });

  it('refuses what could not be stored later, wherever it stands', async () => {
    expect(await faults(`[${JSON.stringify({ ...GOOD, note: { deep: ['\0'] } })}]`)).toEqual({
      '/0/note/deep/0': 'pattern',
    });
    expect(await faults('{"id":"r","a":"\\ud800","b\\udfff":1,"c":1e999,"d":[-1e400]}', RECIPES)).toEqual({
      '/a': 'pattern',
      '': 'pattern',
      '/c': 'range',
      '/d/0': 'range',
    });
    expect(await faults(`{"id":"r","deep":${'['.repeat(64)}${']'.repeat(64)}}`, RECIPES)).toEqual({
      [`/deep${'/0'.repeat(63)}`]: 'range',
    });
    expect(
      (await send(`{"id":"r","deep":${'['.repeat(63)}${']'.repeat(63)}}`, { path: RECIPES })).status,
    ).toBe(202);
    expect((await send('{"id":"r","pair":"\\ud83d\\ude00","big":1e308}', { path: RECIPES })).status).toBe(
      202,
    );
  });

  it('takes __proto__ for a name like any other', async () => {
    expect((await send(`[{"__proto__":{"itemQuantity":5},${JSON.stringify(GOOD).slice(1)}]`)).status).toBe(
      202,
    );
    expect(
      await faults('[{"__proto__":{"recipeId":"R"},"orderNumber":"1","itemId":"1","itemQuantity":1}]'),
    ).toEqual({
      '/0/recipeId': 'required',
    });
    expect(
      (await send('{"id":"proto","__proto__":{"id":"x"},"constructor":1}', { path: RECIPES })).status,
    ).toBe(202);
    const events = await readTopic(gateway.prefix, 'recipe.received', 1);
    expect(events.find(({ key: of }) => of === 'demo:proto')?.value).toContain('__proto__');
  });

  it('refuses malformed JSON and text that is not UTF-8 with 400', async () => {
    for (const body of ['{', '[1,]', 'nope jo@example.org', '[{"a":"\u0001"}]']) {
      const answer = await send(body);
      expect(answer.status).toBe(400);
      expect(JSON.stringify(await problem(answer))).not.toContain('jo@example');
    }
    const answer = await send(new Uint8Array([0x5b, 0x22, 0xff, 0x22, 0x5d]));
    expect((await problem(answer)).detail).toBe('the body is not UTF-8');
  });

  it('refuses another content type, none, and a compressed body with 415', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify([GOOD]));
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json; charset=latin1',
    ]) {
      expect((await problem(await send(bytes, { headers: { 'content-type': type } }))).status).toBe(415);
    }
    const without = await fetch(gateway.url + ORDERS, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: bytes,
    });
    expect((await problem(without)).status).toBe(415);
    expect((await problem(await send(bytes, { headers: { 'content-encoding': 'gzip' } }))).status).toBe(415);
    for (const type of ['application/json', 'APPLICATION/JSON; charset="UTF-8"']) {
      expect((await send(bytes, { headers: { 'content-type': type } })).status).toBe(202);
    }
  });

  it('refuses what is too large with 413: 1 MiB, 8 MiB for recipes, 1 MiB for each of them', async () => {
    const large = JSON.stringify([{ ...GOOD, note: 'x'.repeat(1_048_576) }]);
    expect((await problem(await send(large))).status).toBe(413);
    const chunked = await fetch(gateway.url + ORDERS, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: new Blob([large]).stream(),
      duplex: 'half',
    });
    expect((await problem(chunked)).status).toBe(413);
    const recipe = (id: string, size: number): string => `{"id":"${id}","x":"${'y'.repeat(size)}"}`;
    expect((await problem(await send(recipe('big', 1_048_576), { path: RECIPES }))).status).toBe(413);
    const inArray = await problem(
      await send(`[${recipe('small', 10)},${recipe('big', 1_048_576)}]`, { path: RECIPES }),
    );
    expect(inArray).toMatchObject({ status: 413, errors: [{ pointer: '/1', code: 'length' }] });
    const seven = Array.from({ length: 7 }, (_, index) => recipe(`r${String(index)}`, 1_048_000));
    expect((await send(`[${seven.join(',')}]`, { path: RECIPES })).status).toBe(202);
    expect((await problem(await send(`[${[...seven, ...seven].join(',')}]`, { path: RECIPES }))).status).toBe(
      413,
    );
  });

  it('answers 404, 405, a broken address and what is not HTTP with problems', async () => {
    expect((await problem(await fetch(`${gateway.url}/api/v2/nothing`))).status).toBe(404);
    expect((await problem(await fetch(`${gateway.url}/recipe/x.png`))).status).toBe(404);
    const wrong = await fetch(gateway.url + ORDERS, { method: 'PUT' });
    expect((await problem(wrong)).status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('POST');
    expect((await problem(await fetch(`${gateway.url}/api/v2/orders/%zz`))).status).toBe(400);
    expect(await raw('NOT HTTP\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [^]*application\/problem\+json/);
    expect(await raw(`GET / HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [^]*problem/,
    );
  });

  async function raw(request: string): Promise<string> {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    socket.end(request);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text;
  }

  it('takes a request id of 1 to 64 safe characters, and makes one otherwise', async () => {
    const idOf = async (id: string): Promise<string | null> =>
      (await fetch(`${gateway.url}/api/openapi.json`, { headers: { 'x-request-id': id } })).headers.get(
        'x-request-id',
      );
    expect(await idOf('abc_DEF-1')).toBe('abc_DEF-1');
    expect(await idOf('a b')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idOf('x'.repeat(65))).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has no JSON that it answers with 5xx, or whose strings it logs', async () => {
    const marker = 'planted-';
    const text = fc.string({ unit: 'binary', maxLength: 12 }).map((part) => `${marker}${part}`);
    const known = fc.constantFrom(
      'recipeId',
      'orderNumber',
      'orderId',
      'itemId',
      'itemQuantity',
      'id',
      'temporary',
      '__proto__',
    );
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        text,
        fc.double(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(fc.oneof(known, text), tie('value'), { maxKeys: 6 }),
      ),
    }));
    const before = gateway.logged().length;
    await fc.assert(
      fc.asyncProperty(
        value,
        fc.constantFrom(ORDERS, RECIPES, '/api/v2/order/cancel'),
        async (body, path) => {
          const answer = await send(JSON.stringify(body), { path });
          await answer.text();
          expect(answer.status).toBeLessThan(500);
        },
      ),
      { numRuns: 400 },
    );
    const logged = gateway.logged().slice(before);
    expect(logged).toContain('request.answered');
    expect(logged).not.toContain(marker);
  }, 60_000);
});
