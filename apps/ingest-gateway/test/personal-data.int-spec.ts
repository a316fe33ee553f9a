import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';
import { readTopic } from './read-topic.js';

const PLANTED = ['jo.doe@example.org', 'Jo Doe', 'Elm Street 5', '4111111111111111', '+4915112345678'];

/** Personal data as value, as name, deep, in arrays and beside what is wrong. */
function planted(): object {
  const [email = '', name = '', street = '', card = '', phone = ''] = PLANTED;
  return {
    email,
    [name]: street,
    payment: { card, holder: { name, [email]: [phone, { street }] } },
    notes: [name, [street, { phone }]],
    __proto__: null,
    order_number: card,
    OrderNumber: name,
  };
}

describe('personal data', () => {
  let gateway: TestGateway;
  let key: string;

  beforeAll(async () => {
    gateway = await startTestGateway();
    ({ key } = await gateway.key(['admin']));
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

  it('around the fields of associations and cancels reaches no topic, table, log, metric or refusal', async () => {
    const association = { recipeId: 'R', orderNumber: '1', itemId: '1', itemQuantity: 1 };
    const [email = '', name = ''] = PLANTED;
    const answers = [
      await post('/api/v2/recipe/order', JSON.stringify([{ ...association, ...planted() }])),
      await post('/api/v2/order/cancel', JSON.stringify([{ orderNumber: '1', reason: name, ...planted() }])),
      await post(`/api/v2/recipe/order?email=${email}`, JSON.stringify([{ ...association, ...planted() }])),
      // Refused, each in its own way.
      await post(
        '/api/v2/recipe/order',
        JSON.stringify([{ ...association, ...planted(), recipeId: name, itemId: { email } }]),
      ),
      await post('/api/v2/recipe/order', `${JSON.stringify(planted())}{`),
      await post('/api/v2/recipe/order', JSON.stringify(planted())),
      await post('/api/v2/recipe/order', email),
      await post('/api/v2/keys', JSON.stringify({ name: 5, permissions: [name], ...planted() })),
      await post('/api/v2/recipe/order', JSON.stringify([planted()]), {
        'content-type': `text/${name.replace(' ', '')}`,
      }),
      await post('/api/v2/recipe/order', JSON.stringify([planted()]), { authorization: `Bearer ${email}` }),
      await fetch(`${gateway.url}/api/v2/orders/${encodeURIComponent(name)}/x?email=${email}`),
      await fetch(`${gateway.url}/api/v2/${email}`),
      await fetch(`${gateway.url}/%zz${email}?${email}`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([
      202, 202, 202, 400, 400, 400, 400, 400, 415, 401, 404, 404, 400,
    ]);
    const bodies = await Promise.all(answers.map(async (answer) => answer.text()));

    const events = await readTopic(gateway.prefix, 'order.received', 3);
    const tables = await gateway.dataSource.query<{ name: string }[]>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'access'`,
    );
    const rows = await Promise.all(
      tables.map(async ({ name: table }) =>
        gateway.dataSource.query<unknown>(`SELECT * FROM access.${table}`),
      ),
    );
    expect(tables.length).toBeGreaterThanOrEqual(4);
    const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
    const logged = gateway.logged();
    expect(logged).toContain('request.answered');
    const everywhere: Readonly<Record<string, string>> = {
      topic: JSON.stringify(events),
      tables: JSON.stringify(rows),
      log: logged,
      metrics,
      answers: JSON.stringify(bodies),
    };
    for (const [place, text] of Object.entries(everywhere)) {
      for (const part of [...PLANTED, encodeURIComponent(PLANTED[1] ?? '')]) {
        expect([place, text.includes(part) ? part : 'clean']).toEqual([place, 'clean']);
      }
    }
  });
});
