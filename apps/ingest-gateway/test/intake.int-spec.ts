import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { AssociationReceivedV1, CancellationReceivedV1, RecipeReceivedV1 } from '@heddle/contracts';
import { eventually } from '@heddle/testing';

import { startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';
import { readTopic } from './read-topic.js';

describe('the intake', () => {
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

  const post = async (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      body,
    });

  it('publishes one event per order number, its items in the sent order, and only the five fields', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const answer = await post(
      '/api/v2/recipe/order',
      JSON.stringify([
        {
          recipeId: 'A',
          orderNumber: '1001',
          itemId: '1',
          itemQuantity: 2,
          customer: { email: 'jo@example.org' },
        },
        {
          recipeId: 'https://cz.drrv.co/recipe/B.json?x=1',
          orderNumber: 1002,
          orderId: 7,
          itemId: 9,
          itemQuantity: 0,
        },
        { recipeId: 'C', orderNumber: ' 1001 ', orderId: '', itemId: '2', itemQuantity: 1 },
      ]),
      { 'x-request-id': 'req-1', traceparent: `00-${traceId}-b7ad6b7169203331-01` },
    );
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ accepted: 3 });
    expect(answer.headers.get('x-request-id')).toBe('req-1');

    const events = (await readTopic(gateway.prefix, 'order.received', 2)).filter(
      ({ headers }) => headers['ce_type'] === 'heddle.association.received.v1',
    );
    const byKey = new Map(events.map((event) => [event.key, event]));
    expect([...byKey.keys()].sort()).toEqual(['demo:1001', 'demo:1002']);
    const first = byKey.get('demo:1001')!;
    expect(AssociationReceivedV1.strict().parse(JSON.parse(first.value))).toMatchObject({
      tenant: 'demo',
      channel: 'default',
      orderNumber: '1001',
      requestId: 'req-1',
      associations: [
        { recipeId: 'A', itemId: '1', itemQuantity: 2 },
        { recipeId: 'C', itemId: '2', itemQuantity: 1 },
      ],
    });
    expect(first.value).not.toContain('jo@example.org');
    expect(JSON.parse(byKey.get('demo:1002')!.value)).toMatchObject({
      associations: [{ recipeId: 'B', orderId: '7', itemId: '9', itemQuantity: 0 }],
    });
    expect(first.headers).toMatchObject({
      ce_specversion: '1.0',
      ce_source: 'ingest-gateway',
      ce_subject: '1001',
      tenant: 'demo',
      'content-type': 'application/json',
      traceparent: expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`)),
    });
    const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
    expect(metrics).toMatch(/heddle_dropped_fields_total\{.*\} 2/);
    expect(metrics).toMatch(/heddle_accepted_total\{kind="association".*\} 3/);
  });

  it('publishes cancels on the topic of the associations, with reasons of the closed list', async () => {
    const answer = await post(
      '/API/v2/Order/Cancel',
      JSON.stringify([
        { orderNumber: '2001', reason: 'Customer' },
        { orderNumber: '2002', orderId: '5', reason: 'Jo Doe moved to Elm Street' },
        { orderNumber: '2003' },
      ]),
    );
    expect(answer.status).toBe(202);
    const cancels = await eventually(
      async () => {
        const found = (await readTopic(gateway.prefix, 'order.received', 5)).filter(({ headers }) =>
          headers['ce_type']?.includes('cancellation'),
        );
        expect(found).toHaveLength(3);
        return found;
      },
      { withinMs: 5_000 },
    );
    const values = new Map(
      cancels.map(({ key: of, value }) => [of, CancellationReceivedV1.strict().parse(JSON.parse(value))]),
    );
    expect(values.get('demo:2001')?.reason).toBe('customer');
    expect(values.get('demo:2002')).toMatchObject({ orderId: '5', reason: 'other' });
    expect(values.get('demo:2003')).not.toHaveProperty('reason');
  });

  it('keeps each recipe document exactly as sent', async () => {
    const single = '{ "id" : "r-1",\n "n": 1.0, "u": "\\u00e9\\/", "temporary": true }';
    const one = await post('/api/v2/recipe', single);
    expect(await one.json()).toEqual({
      accepted: 1,
      recipes: [{ id: 'r-1', location: 'https://hub.example/recipe/r-1.json' }],
    });
    const many = await post('/api/v2/recipe', `[ {"id":"r-2", "x":[1, 2]} ,\n{"id":"r-2","y":"],"}]`);
    expect(many.status).toBe(202);
    const events = (await readTopic(gateway.prefix, 'recipe.received', 3)).map(({ value }) =>
      RecipeReceivedV1.strict().parse(JSON.parse(value)),
    );
    expect(events.find(({ recipeId }) => recipeId === 'r-1')).toMatchObject({
      document: single,
      temporary: true,
    });
    expect(events.filter(({ recipeId }) => recipeId === 'r-2').map(({ document }) => document)).toEqual([
      '{"id":"r-2", "x":[1, 2]}',
      '{"id":"r-2","y":"],"}',
    ]);
  });

  it("names the channel of a key that serves one shop, and 'default' otherwise", async () => {
    const bound = await gateway.key(['order-tracking'], { channel: 'shop-eu' });
    await post('/api/v2/order/cancel', '[{"orderNumber":"3001"}]', { authorization: `Bearer ${bound.key}` });
    await eventually(
      async () => {
        const events = await readTopic(gateway.prefix, 'order.received', 6);
        const event = events.find(({ key: of }) => of === 'demo:3001');
        expect(JSON.parse(event?.value ?? '{}')).toMatchObject({ channel: 'shop-eu' });
      },
      { withinMs: 5_000 },
    );
  });
});
