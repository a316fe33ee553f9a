import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import { createTenant, setRecipeAccess } from '@heddle/access';
import type { AuditEntry } from '@heddle/contracts';
import { AuditPage, HubStatus, OrderPage, Problem } from '@heddle/contracts';

import { TENANT, startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';

const UID = '0195f0c2-0000-7000-8000-000000000001';

describe('what other services own', () => {
  let gateway: TestGateway;
  let key: string;

  beforeAll(async () => {
    gateway = await startTestGateway();
    ({ key } = await gateway.key(['admin'], { channel: 'eu' }));
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.close();
  });
  beforeEach(() => {
    for (const standIn of [gateway.store, gateway.dispatcher]) {
      standIn.seen.length = 0;
      standIn.answer = () => ({ status: 200, body: '{}' });
    }
  });

  const call = async (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(gateway.url + path, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string>) },
    });

  it('is asked as the caller, with the request id and the trace, never with the key', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    await fetch(`${gateway.url}/API/V2/Orders?orderNumber=a%20b&apikey=${key}&limit=3`, {
      headers: { 'x-request-id': 'r-7', traceparent: `00-${traceId}-b7ad6b7169203331-01` },
    });
    const [seen] = gateway.store.seen;
    expect(seen).toMatchObject({ method: 'GET', url: '/api/v2/orders?orderNumber=a+b&limit=3' });
    expect(JSON.stringify(seen)).not.toContain(key);
    expect(seen?.headers).toMatchObject({
      'x-request-id': 'r-7',
      traceparent: expect.stringContaining(traceId),
    });
    expect(decodeJwt(seen?.headers.authorization?.slice('Bearer '.length) ?? '')).toMatchObject({
      tenant: TENANT,
      channel: 'eu',
      permissions: ['admin'],
      sub: expect.stringMatching(/^key:/),
    });
  });

  it('answers in its own words: status, body, tags and problems pass', async () => {
    gateway.dispatcher.answer = () => ({
      status: 409,
      headers: { 'content-type': 'application/problem+json', etag: '"v2"', 'set-cookie': 'no=1' },
      body: '{"status":409}',
    });
    const answer = await call(`/api/v2/integrations/${UID}/approve`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'if-match': '"v1"', 'idempotency-key': 'k' },
      body: '{ "version": 2 }',
    });
    expect(answer.status).toBe(409);
    expect(answer.headers.get('etag')).toBe('"v2"');
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(await answer.text()).toBe('{"status":409}');
    expect(gateway.dispatcher.seen[0]).toMatchObject({
      url: `/api/v2/integrations/${UID}/approve`,
      body: '{ "version": 2 }',
      headers: { 'if-match': '"v1"', 'idempotency-key': 'k', 'content-type': 'application/json' },
    });
  });

  it('needs its permission before it is asked, and gets no body that nobody could store', async () => {
    const { key: reader } = await gateway.key(['orders:read']);
    const denied = await call('/api/v2/deliveries', { headers: { authorization: `Bearer ${reader}` } });
    expect(denied.status).toBe(403);
    const bad = await call('/api/v2/integrations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"description":"\\u0000"}',
    });
    expect(bad.status).toBe(400);
    expect(gateway.dispatcher.seen).toHaveLength(0);
  });

  it('calls without a body pass without one', async () => {
    const answer = await call(`/api/v2/integrations/${UID}/disable`, { method: 'POST' });
    expect(answer.status).toBe(200);
    expect(gateway.dispatcher.seen[0]).toMatchObject({ method: 'POST', body: '' });
    gateway.dispatcher.answer = () => ({ status: 204 });
    expect((await call(`/api/v2/integrations/${UID}`, { method: 'DELETE' })).status).toBe(204);
  });

  it('is 503 with Retry-After while it does not answer', async () => {
    gateway.dispatcher.answer = () => 'hang';
    const startedAt = performance.now();
    const answer = await call('/api/v2/deliveries');
    expect(answer.status).toBe(503);
    expect(performance.now() - startedAt).toBeLessThan(7_500);
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(Problem.parse(await answer.json()).detail).toContain('dispatcher');
  }, 15_000);

  it('never shows that a service refused the token of the gateway', async () => {
    gateway.store.answer = () => ({ status: 401, body: '{}' });
    expect((await call('/api/v2/orders')).status).toBe(503);
    expect(gateway.logged()).toContain('upstream.token-refused');
  });

  it('an order has its deliveries, all pages of them, and a tag of its own', async () => {
    gateway.store.answer = () => ({
      status: 200,
      headers: { etag: '"store"' },
      body: '{"orderUid":"x","version":1}',
    });
    const delivery = (id: string): object => ({
      deliveryId: id,
      integrationId: UID,
      integrationVersion: 1,
      destination: 'sftp',
      trigger: 'order.submitted',
      eventId: UID,
      triggerId: null,
      notification: null,
      orderUid: UID,
      orderNumber: '1',
      orderId: null,
      recipeIds: [],
      version: 1,
      state: 'succeeded',
      reason: null,
      attempts: 1,
      code: null,
      nextAttemptAt: null,
      createdAt: '2025-01-01T00:00:00Z',
      updatedAt: '2025-01-01T00:00:00Z',
      finishedAt: '2025-01-01T00:00:00Z',
    });
    gateway.dispatcher.answer = ({ url }) =>
      url.includes('cursor=next')
        ? { status: 200, body: JSON.stringify({ items: [delivery(UID)], nextCursor: null }) }
        : { status: 200, body: JSON.stringify({ items: [delivery(UID)], nextCursor: 'next' }) };
    const { key: reader } = await gateway.key(['orders:read']);
    const headers = { authorization: `Bearer ${reader}` };
    const answer = await call(`/api/v2/orders/${UID}`, { headers });
    expect(answer.status).toBe(200);
    const etag = answer.headers.get('etag') ?? '';
    expect(etag).not.toBe('"store"');
    const order = (await answer.json()) as { version: number; deliveries: unknown[] };
    expect(order.version).toBe(1);
    expect(order.deliveries).toHaveLength(2);
    const again = await call(`/api/v2/orders/${UID}`, { headers: { ...headers, 'if-none-match': etag } });
    expect(again.status).toBe(304);

    gateway.dispatcher.answer = () => 'hang';
    const without = await call(`/api/v2/orders/${UID}`, { headers });
    expect(await without.json()).toMatchObject({ version: 1, deliveries: null });
    gateway.store.answer = () => ({ status: 404, body: '{"status":404}' });
    gateway.dispatcher.answer = () => ({ status: 500 });
    expect((await call(`/api/v2/orders/${UID}`, { headers })).status).toBe(404);
  }, 20_000);

  it('orders are found by the state of their deliveries, which another service knows', async () => {
    const uidOf = (number: number): string => UID.replace(/.{4}$/, String(number).padStart(4, '0'));
    const view = (orderUid: string): object => ({
      orderUid,
      tenant: TENANT,
      channel: 'eu',
      orderNumber: orderUid.slice(-4),
      orderId: null,
      status: 'open',
      version: 1,
      reason: 'submitted',
      cancelReason: null,
      acceptedAt: new Date().toISOString(),
      updatedAt: new Date().toISOString(),
      items: [],
    });
    const asked = (url: string): URLSearchParams => new URL(url, gateway.url).searchParams;
    // 150 orders have such a delivery; every third of them passes the other filters.
    const failed = Array.from({ length: 150 }, (_, index) => uidOf(150 - index));
    gateway.dispatcher.answer = ({ url }) => {
      const before = asked(url).get('before') ?? 'g';
      const orderUids = failed.filter((uid) => uid < before).slice(0, 100);
      return { status: 200, body: JSON.stringify({ orderUids }) };
    };
    gateway.store.answer = ({ url }) => {
      const uids = (asked(url).get('orderUids') ?? '').split(',');
      const items = uids.filter((uid) => Number(uid.slice(-4)) % 3 === 0).map(view);
      return { status: 200, body: JSON.stringify({ items }) };
    };
    const { key: reader } = await gateway.key(['orders:read']);
    const list = async (query: string): Promise<{ numbers: number[]; nextCursor: string | null }> => {
      const answer = await call(`/api/v2/orders?deliveryState=failed&status=open${query}`, {
        headers: { authorization: `Bearer ${reader}` },
      });
      expect(answer.status).toBe(200);
      const { items, nextCursor } = OrderPage.parse(await answer.json());
      return { numbers: items.map(({ orderNumber }) => Number(orderNumber)), nextCursor };
    };

    const numbers: number[] = [];
    let cursor: string | null = null;
    do {
      const page = await list(`&limit=40${cursor === null ? '' : `&cursor=${cursor}`}`);
      expect(page.numbers.length).toBeLessThanOrEqual(40);
      numbers.push(...page.numbers);
      cursor = page.nextCursor;
    } while (cursor !== null);

    expect(numbers).toEqual(Array.from({ length: 50 }, (_, index) => 150 - 3 * index));
    expect(gateway.store.seen.every(({ url }) => asked(url).get('status') === 'open')).toBe(true);
    expect(gateway.store.seen.some(({ url }) => asked(url).has('deliveryState'))).toBe(false);
    const bad = await call('/api/v2/orders?deliveryState=lost&limit=0');
    expect(bad.status).toBe(400);
    const { errors } = Problem.parse(await bad.json());
    expect(errors?.map(({ pointer }) => pointer).toSorted()).toEqual(['?deliveryState', '?limit']);
    gateway.dispatcher.answer = () => ({ status: 500 });
    expect((await call('/api/v2/orders?deliveryState=failed')).status).toBe(503);
  });

  it('the audit is one: keys from here, integrations from there, newest first, page by page', async () => {
    const other = Array.from({ length: 7 }, (_, index): AuditEntry => ({
      auditId: UID.replace(/.$/, String(index)),
      at: new Date(Date.now() + (index % 2 === 0 ? 3_600_000 : -3_600_000) - index * 1_000).toISOString(),
      actor: 'key:x',
      action: `integration.${String(index)}`,
      subject: 'integration:x',
      details: {},
    })).sort((a, b) => (a.at < b.at ? 1 : -1));
    // Pages as the dispatcher makes them: an offset stands in for its opaque cursor.
    gateway.dispatcher.answer = ({ url }) => {
      const query = new URL(url, 'http://x').searchParams;
      const [from, limit] = [Number(query.get('cursor') ?? 0), Number(query.get('limit'))];
      const items = other.slice(from, from + limit);
      return {
        status: 200,
        body: JSON.stringify({
          items,
          nextCursor: from + limit < other.length ? String(from + limit) : null,
        }),
      };
    };
    for (let index = 0; index < 4; index += 1) await gateway.key(['orders:read']);
    const whole = AuditPage.parse(await (await call('/api/v2/audit?limit=200')).json());
    expect(whole.nextCursor).toBeNull();
    expect(whole.items.filter(({ action }) => action === 'key.created').length).toBeGreaterThanOrEqual(4);
    expect(whole.items.map(({ at }) => at)).toEqual(
      whole.items
        .map(({ at }) => at)
        .toSorted()
        .toReversed(),
    );

    const paged: AuditEntry[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page = AuditPage.parse(await (await call(`/api/v2/audit?limit=3${query}`)).json());
      paged.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(whole.items);
    expect((await call('/api/v2/audit?cursor=nonsense')).status).toBe(400);
  });

  it('the status is one, with null for what a service does not say', async () => {
    const dispatcher = {
      deliveries: { waiting: 1, ready: 2, 'in-flight': 3, retrying: 4, oldestWaitingAt: null },
      lastDay: { succeeded: 5, failed: 6, superseded: 7, cancelled: 8 },
      breakers: [],
      lag: { 'order.submitted': 9 },
    };
    gateway.dispatcher.answer = () => ({ status: 200, body: JSON.stringify(dispatcher) });
    gateway.store.answer = () => ({
      status: 200,
      body: JSON.stringify({ waitingForRecipe: null, lag: { 'order.received': 1 } }),
    });
    const status = async (): Promise<unknown> => {
      const answer = await call('/api/v2/status');
      expect(answer.status).toBe(200);
      return HubStatus.strict().parse(await answer.json());
    };
    const { lag, ...rest } = dispatcher;
    expect(await status()).toEqual({
      ...rest,
      waitingForRecipe: null,
      lag: { dispatcher: lag, 'association-store': { 'order.received': 1 } },
    });
    expect(gateway.dispatcher.seen[0]).toMatchObject({ method: 'GET', url: '/internal/status' });

    gateway.dispatcher.answer = () => ({ status: 500, body: '{}' });
    gateway.store.answer = () => 'hang';
    expect(await status()).toEqual({
      deliveries: null,
      lastDay: null,
      breakers: null,
      waitingForRecipe: null,
      lag: { dispatcher: null, 'association-store': null },
    });
    const { key: writer } = await gateway.key(['order-tracking']);
    const denied = await call('/api/v2/status', { headers: { authorization: `Bearer ${writer}` } });
    expect(denied.status).toBe(403);
  }, 15_000);

  it('recipes are read by anybody while they are open and there is one tenant', async () => {
    gateway.store.answer = ({ method, headers }) =>
      headers['if-none-match'] === '"e"'
        ? { status: 304, headers: { etag: '"e"' } }
        : {
            status: 200,
            headers: { etag: '"e"', 'content-length': '10' },
            ...(method === 'HEAD' ? {} : { body: '{ "id": 1}' }),
          };
    const open = await fetch(`${gateway.url}/Recipe/aB.c-1.json`);
    expect(open.status).toBe(200);
    expect(open.headers.get('access-control-allow-origin')).toBe('*');
    expect(open.headers.get('etag')).toBe('"e"');
    expect(await open.text()).toBe('{ "id": 1}');
    expect(gateway.store.seen[0]?.url).toBe('/recipe/aB.c-1.json');
    expect(decodeJwt(gateway.store.seen[0]?.headers.authorization?.slice(7) ?? '')).toMatchObject({
      tenant: TENANT,
      permissions: ['recipes:read'],
    });
    const unchanged = await fetch(`${gateway.url}/recipe/x.json`, { headers: { 'if-none-match': '"e"' } });
    expect(unchanged.status).toBe(304);
    const head = await fetch(`${gateway.url}/recipe/x.json`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe('10');
    expect(gateway.store.seen.at(-1)?.method).toBe('HEAD');
    expect((await fetch(`${gateway.url}/recipe/${'x'.repeat(128)}.json`)).status).toBe(200);
    expect((await fetch(`${gateway.url}/recipe/${'x'.repeat(129)}.json`)).status).toBe(404);
  });

  it('have their tickets read in the same way, on the paper that is asked for', async () => {
    gateway.store.answer = ({ headers }) =>
      headers['if-none-match'] === '"t"'
        ? { status: 304, headers: { etag: '"t"' } }
        : { status: 200, headers: { 'content-type': 'application/pdf', etag: '"t"' }, body: '%PDF-' };
    const open = await fetch(`${gateway.url}/Recipe/aB.c-1.PDF?paper=letter&apikey=x`);
    expect(open.status).toBe(200);
    expect(open.headers.get('access-control-allow-origin')).toBe('*');
    expect(open.headers.get('content-type')).toBe('application/pdf');
    expect(open.headers.get('etag')).toBe('"t"');
    expect(await open.text()).toBe('%PDF-');
    expect(gateway.store.seen.at(-1)?.url).toBe('/recipe/aB.c-1.pdf?paper=letter');
    const unchanged = await fetch(`${gateway.url}/recipe/x.pdf`, { headers: { 'if-none-match': '"t"' } });
    expect(unchanged.status).toBe(304);
    expect(gateway.store.seen.at(-1)?.url).toBe('/recipe/x.pdf');
    expect((await fetch(`${gateway.url}/recipe/x.png`)).status).toBe(404);
  });
});

describe('recipes that are not open', () => {
  it('need a key, unless the host name says whose they are', async () => {
    const gateway = await startTestGateway({ env: { PUBLIC_HOSTS: 'localhost=demo' } });
    try {
      await createTenant(gateway.dataSource, 'other');
      await setRecipeAccess(gateway.dataSource, { tenant: 'other', access: 'key', actor: 'command-line' });
      await untilReady(gateway);
      const [writer, reader] = [await gateway.key(['recipes:write']), await gateway.key(['recipes:read'])];
      const read = async (key?: string, host = '127.0.0.1'): Promise<Response> =>
        fetch(
          `${gateway.url.replace('127.0.0.1', host)}/recipe/x.json${key === undefined ? '' : `?apikey=${key}`}`,
        );
      expect((await read()).status).toBe(401);
      expect((await read(writer.key)).status).toBe(403);
      const answer = await read(reader.key);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
      expect(gateway.store.seen.at(-1)?.url).toBe('/recipe/x.json');
      for (const [key, status] of [
        [writer.key, 403],
        [undefined, 401],
      ] as const) {
        const query = key === undefined ? '' : `?apikey=${key}`;
        expect((await fetch(`${gateway.url}/recipe/x-Front.png${query}`)).status).toBe(status);
      }
      const named = await read(undefined, 'localhost');
      expect(named.status).toBe(200);
      expect(named.headers.get('access-control-allow-origin')).toBe('*');
    } finally {
      await gateway.close();
    }
  }, 60_000);
});

describe('the documentation', () => {
  it('needs no key and loads nothing from elsewhere', async () => {
    const gateway = await startTestGateway();
    try {
      const document = (await (await fetch(`${gateway.url}/api/openapi.json`)).json()) as {
        openapi: string;
        servers: { url: string }[];
        paths: Record<string, object>;
      };
      expect(document.openapi).toBe('3.1.0');
      expect(document.servers).toEqual([{ url: 'https://hub.example' }]);
      expect(Object.keys(document.paths)).toContain('/api/v2/recipe/order');
      const page = await fetch(`${gateway.url}/api/docs`);
      const html = await page.text();
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(html).not.toMatch(/https?:\/\//);
      const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? '');
      expect(links.length).toBeGreaterThan(3);
      for (const link of links) {
        const answer = await fetch(new URL(link, `${gateway.url}/api/docs`));
        expect([link, answer.status]).toEqual([link, 200]);
        await answer.arrayBuffer();
      }
    } finally {
      await gateway.close();
    }
  }, 60_000);
});
