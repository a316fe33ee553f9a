import { once } from 'node:events';
import { connect } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createApiKey, createTenant } from '@heddle/access';
import { KeyCreated, KeyPage, Problem } from '@heddle/contracts';

import { AnswerPurge } from '../src/keys/answer-purge.js';

import { startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';

const BODY = '[{"orderNumber":"1"}]';
const JSON_TYPE = { 'content-type': 'application/json' };

describe('keys', () => {
  let gateway: TestGateway;

  beforeAll(async () => {
    gateway = await startTestGateway();
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.close();
  });

  const cancel = async (headers: Record<string, string>, query = ''): Promise<Response> =>
    fetch(`${gateway.url}/api/v2/order/cancel${query}`, {
      method: 'POST',
      headers: { ...JSON_TYPE, ...headers },
      body: BODY,
    });
  const keys = async (
    method: string,
    key: string,
    path = '',
    body?: unknown,
    headers = {},
  ): Promise<Response> =>
    fetch(`${gateway.url}/api/v2/keys${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : JSON_TYPE), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  it('are taken from three places, the first one that is there', async () => {
    const { key } = await gateway.key(['order-tracking']);
    for (const headers of [
      { authorization: `Bearer ${key}` },
      { authentication: `bearer ${key}` },
      { authorization: 'Basic eDp5', authentication: `BEARER ${key}` },
    ]) {
      expect((await cancel(headers)).status).toBe(202);
    }
    expect((await cancel({}, `?apikey=${key}`)).status).toBe(202);
    expect((await cancel({ authorization: 'Bearer hdl_wrong' }, `?apikey=${key}`)).status).toBe(401);
    expect(gateway.logged()).not.toContain(key);
  });

  it('are required: 401 without a good one, 403 naming the permission that is missing', async () => {
    const without = await cancel({});
    expect(without.status).toBe(401);
    expect(without.headers.get('www-authenticate')).toBe('Bearer');
    expect((await cancel({ authorization: 'Bearer nonsense' })).status).toBe(401);

    const { key } = await gateway.key(['orders:read']);
    const denied = await cancel({ authorization: `Bearer ${key}` });
    expect(denied.status).toBe(403);
    expect(denied.headers.get('content-type')).toBe('application/problem+json');
    expect(Problem.parse(await denied.json())).toMatchObject({
      title: 'Forbidden',
      detail: 'the key lacks the permission order-tracking',
    });
  });

  it('come before the body: nobody without one makes us read it', async () => {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    // Announced, and never sent: only a server that does not wait for it can answer.
    socket.write(
      'POST /api/v2/recipe HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n',
    );
    const [head] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(head.toString()).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('are made, shown once, listed without themselves, and revoked', async () => {
    const { key: admin } = await gateway.key(['admin']);
    const answer = await keys('POST', admin, '', {
      name: 'Shop',
      permissions: ['order-tracking'],
      channel: 'eu',
    });
    expect(answer.status).toBe(201);
    const created = KeyCreated.parse(await answer.json());
    expect(created).toMatchObject({
      name: 'Shop',
      permissions: ['order-tracking'],
      channel: 'eu',
      revokedAt: null,
    });
    expect((await cancel({ authorization: `Bearer ${created.key}` })).status).toBe(202);

    const listed = await (await keys('GET', admin, '?limit=200')).text();
    expect(listed).not.toContain(created.key);
    expect(KeyPage.parse(JSON.parse(listed)).items.map(({ id }) => id)).toContain(created.id);

    expect((await keys('DELETE', admin, `/${created.id}`)).status).toBe(204);
    expect((await cancel({ authorization: `Bearer ${created.key}` })).status).toBe(401);
    expect((await keys('DELETE', admin, `/${created.id.replace(/^./, 'f')}`)).status).toBe(404);
    expect((await keys('DELETE', admin, '/not-an-id')).status).toBe(404);
  });

  it('grant only what they may do themselves', async () => {
    const { key } = await gateway.key(['keys:manage', 'orders:read']);
    const denied = await keys('POST', key, '', {
      name: 'x',
      permissions: ['orders:read', 'recipes:write', 'admin'],
    });
    expect(denied.status).toBe(403);
    expect(Problem.parse(await denied.json()).detail).toContain('recipes:write, admin');
    expect((await keys('POST', key, '', { name: 'x', permissions: ['orders:read'] })).status).toBe(201);
  });

  it('of one channel make keys of that channel alone', async () => {
    const { key } = await gateway.key(['keys:manage', 'orders:read'], { channel: 'eu' });
    const body = { name: 'x', permissions: ['orders:read'] };
    for (const other of [body, { ...body, channel: 'us' }]) {
      const denied = await keys('POST', key, '', other);
      expect(denied.status).toBe(403);
      expect(Problem.parse(await denied.json()).detail).toContain('channel eu');
    }
    expect((await keys('POST', key, '', { ...body, channel: 'eu' })).status).toBe(201);
  });

  it('of one channel see and revoke keys of that channel alone', async () => {
    const { key } = await gateway.key(['keys:manage'], { channel: 'north' });
    const elsewhere = await gateway.key(['orders:read'], { channel: 'south' });

    const { items } = KeyPage.parse(await (await keys('GET', key)).json());
    expect(items.map(({ channel }) => channel)).toEqual(['north']);
    expect((await keys('DELETE', key, `/${elsewhere.id}`)).status).toBe(404);
  });

  it('are made once for one Idempotency-Key', async () => {
    const { key: admin } = await gateway.key(['admin']);
    const body = { name: 'Once', permissions: ['orders:read'] };
    const header = { 'idempotency-key': 'a-1' };
    const [first, second] = [
      await keys('POST', admin, '', body, header),
      await keys('POST', admin, '', body, header),
    ];
    const [made, again] = [KeyCreated.parse(await first.json()), KeyCreated.parse(await second.json())];
    expect(second.status).toBe(201);
    expect(again).toEqual(made);
    expect((await keys('POST', admin, '', { ...body, name: 'Other' }, header)).status).toBe(422);
    const rows: unknown = await gateway.dataSource.query('SELECT * FROM access.idempotency_keys');
    expect(JSON.stringify(rows)).not.toContain(made.key);
  });

  it('leave no answer behind once it is of no use any more', async () => {
    const { key: admin } = await gateway.key(['admin']);
    const body = { name: 'Brief', permissions: ['orders:read'] };
    await keys('POST', admin, '', body, { 'idempotency-key': 'brief' });
    await gateway.dataSource.query(
      `UPDATE access.idempotency_keys SET expires_at = now() WHERE key = 'brief'`,
    );

    await gateway.service.app.get(AnswerPurge).purge();

    const rows: unknown = await gateway.dataSource.query(
      `SELECT key FROM access.idempotency_keys WHERE key IN ('brief', 'a-1')`,
    );
    expect(rows).toEqual([{ key: 'a-1' }]);
  });

  it('of one tenant are unknown to another', async () => {
    await createTenant(gateway.dataSource, 'other');
    const mine = await gateway.key(['order-tracking']);
    const { key: theirs } = await createApiKey(gateway.dataSource, {
      tenant: 'other',
      name: 'admin',
      permissions: ['admin'],
      actor: 'command-line',
    });
    expect((await keys('DELETE', theirs, `/${mine.id}`)).status).toBe(404);
    const { items } = KeyPage.parse(await (await keys('GET', theirs)).json());
    expect(items.map(({ name }) => name)).toEqual(['admin']);
  });

  it('refuse a body with every fault', async () => {
    const { key: admin } = await gateway.key(['admin']);
    const answer = await keys('POST', admin, '', { permissions: ['fly'], colour: 1, expiresAt: 'soon' });
    expect(answer.status).toBe(400);
    const { errors = [] } = Problem.parse(await answer.json());
    expect(errors.map(({ pointer, code }) => `${pointer} ${code}`).sort()).toEqual([
      ' unknown',
      '/expiresAt pattern',
      '/name required',
      '/permissions/0 pattern',
    ]);
    expect(JSON.stringify(errors)).not.toContain('colour');
    const list = await keys('GET', admin, '?limit=1000&colour=red');
    expect(list.status).toBe(400);
  });
});

describe('the rate of a key', () => {
  it('is kept per key, with 429 and Retry-After beyond it', async () => {
    const gateway = await startTestGateway({ env: { KEY_RATE_PER_SECOND: '5' } });
    try {
      await untilReady(gateway);
      const [one, two] = [await gateway.key(['order-tracking']), await gateway.key(['order-tracking'])];
      const cancel = async (key: string): Promise<Response> =>
        fetch(`${gateway.url}/api/v2/order/cancel`, {
          method: 'POST',
          headers: { ...JSON_TYPE, authorization: `Bearer ${key}` },
          body: BODY,
        });
      const answers = await Promise.all(Array.from({ length: 20 }, () => cancel(one.key)));
      const over = answers.filter(({ status }) => status === 429);
      expect(over.length).toBeGreaterThan(0);
      expect(over[0]?.headers.get('retry-after')).toBe('1');
      expect(over[0]?.headers.get('content-type')).toBe('application/problem+json');
      expect((await cancel(two.key)).status).toBe(202);
    } finally {
      await gateway.close();
    }
  }, 60_000);
});
