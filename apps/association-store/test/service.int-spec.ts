import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ConversionsReport,
  OrderPage,
  OrderWithVersions,
  StoreStatus,
  TOPIC,
  ticketPath,
} from '@heddle/contracts';
import { runMigrations } from '@heddle/persistence';
import { traceIdOf } from '@heddle/platform';
import { createDatabase, eventually } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';

import { storeDataSource } from '../src/schema/data-source.js';

import { RunningStore } from './running-store.js';
import { ACCEPTED_AT } from './support.js';

const WITHIN = { withinMs: 20_000 };

let database: TestDatabase;
let store: RunningStore;

beforeAll(async () => {
  database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
  store = await RunningStore.start(database.url);
  expect(store.failing).toHaveProperty('schema');
  await runMigrations(storeDataSource(store.config));
  await eventually(() => expect(store.failing).toEqual({}), WITHIN);
}, 60_000);

afterAll(async () => {
  await store.stop();
  await database.drop();
}, 30_000);

describe('the running store', () => {
  it('turns what is accepted into facts, and answers for them', async () => {
    await store.associate('1001', [['a', 'DRIVE-001', 2]]);
    const [submitted] = await eventually(async () => {
      const found = await store.ordersOn(TOPIC.orderSubmitted, '1001');
      expect(found).toHaveLength(1);
      return found;
    }, WITHIN);
    expect(submitted).toMatchObject({ version: 1, reason: 'submitted', acceptedAt: ACCEPTED_AT });
    const [message] = await store.messages(TOPIC.orderSubmitted);
    expect(message).toMatchObject({
      key: 'demo:1001',
      headers: {
        ce_type: 'heddle.order.submitted.v1',
        ce_subject: submitted!.orderUid,
        ce_source: '/heddle/association-store',
        tenant: 'demo',
      },
    });
    expect(traceIdOf(message!.headers['traceparent'])).toBe(traceIdOf(store.traceparent));

    const document = '{ "id": "DRIVE-001",\n "name": "Cap" , "n": 1.50 }';
    await store.save('DRIVE-001', document);
    await eventually(async () => {
      expect(await store.messages(TOPIC.recipeCreated)).toHaveLength(1);
      const [linked] = await store.ordersOn(TOPIC.orderUpdated, '1001');
      expect(linked).toMatchObject({ version: 2, reason: 'recipe-linked' });
    }, WITHIN);

    await store.cancel('1001');
    await eventually(async () => {
      expect(await store.ordersOn(TOPIC.orderCancelled, '1001')).toMatchObject([
        { version: 3, status: 'cancelled' },
      ]);
    }, WITHIN);

    const list = await store.get('/api/v2/orders?orderNumber=1001&limit=5');
    expect(list.status).toBe(200);
    const page = OrderPage.parse(await list.json());
    expect(page.items).toMatchObject([{ orderUid: submitted!.orderUid, version: 3 }]);
    const one = await store.get(`/api/v2/orders/${submitted!.orderUid}`);
    expect(OrderWithVersions.parse(await one.json()).versions).toHaveLength(3);
    const etag = one.headers.get('etag')!;
    const again = await store.get(`/api/v2/orders/${submitted!.orderUid}`, {
      headers: { 'if-none-match': etag },
    });
    expect([again.status, await again.text()]).toEqual([304, '']);

    const read = await store.get('/recipe/DRIVE-001.json');
    expect(read.headers.get('content-type')).toBe('application/json');
    expect(await read.text()).toBe(document);
    const version = await store.get('/internal/recipes/demo/DRIVE-001/1');
    expect(await version.text()).toBe(document);
    const recipeEtag = read.headers.get('etag')!;
    expect(recipeEtag).toMatch(/^"[0-9a-f]{64}"$/);
    const unchanged = await store.get('/recipe/DRIVE-001.json', { headers: { 'if-none-match': recipeEtag } });
    expect(unchanged.status).toBe(304);
  }, 60_000);

  it('draws the ticket of a recipe, and that of an order from what its address says', async () => {
    await store.save('CAP.1', '{"id":"CAP.1","name":"Team Cap","components":[{"code":"P1"}]}');
    const read = await eventually(async () => {
      const answer = await store.get('/recipe/CAP.1.pdf');
      expect(answer.status).toBe(200);
      return answer;
    }, WITHIN);
    expect(read.headers.get('content-type')).toBe('application/pdf');
    expect(read.headers.get('content-disposition')).toBe('inline; filename="CAP.1-Ticket.pdf"');
    const bytes = Buffer.from(await read.arrayBuffer());
    expect(bytes.subarray(0, 5).toString()).toBe('%PDF-');
    expect(Number(read.headers.get('content-length'))).toBe(bytes.length);
    const etag = read.headers.get('etag')!;
    const again = await store.get('/recipe/CAP.1.pdf', { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect((await store.get('/recipe/CAP.1.pdf?paper=letter')).headers.get('etag')).not.toBe(etag);

    const recipe = { tenant: 'demo', recipeId: 'CAP.1', version: 1 };
    const order = { orderNumber: '10/22', orderId: null, items: [{ itemId: 'a', itemQuantity: 2 }] };
    const ticket = await store.get(ticketPath(recipe, order));
    expect([ticket.status, ticket.headers.get('content-type')]).toEqual([200, 'application/pdf']);
    // What is about the order does not leak into the public ticket, which takes no such query.
    expect(ticket.headers.get('etag')).not.toBe(etag);
    expect((await store.get('/recipe/CAP.1.pdf?orderNumber=10/22')).headers.get('etag')).toBe(etag);
    expect((await store.get(ticketPath(recipe, null))).headers.get('etag')).toBe(etag);

    expect((await store.get('/recipe/CAP.1.pdf?paper=a3')).status).toBe(400);
    expect((await store.get(ticketPath(recipe, null), { tenant: 'other' })).status).toBe(404);
    expect((await store.get(ticketPath({ ...recipe, version: 2 }, null))).status).toBe(404);
    expect((await store.get('/recipe/NOTHING.pdf')).status).toBe(404);
    expect((await store.get('/recipe/CAP.1.pdf', { permissions: ['orders:read'] })).status).toBe(403);
    expect((await store.getBare(ticketPath(recipe, order))).status).toBe(401);
  }, 60_000);

  it('publishes nothing for what it has been told before', async () => {
    await store.associate('2001', [['a', 'R', 1]]);
    await store.associate('2001', [['a', 'R', 1]]);
    await store.associate('2001', [['a', 'R', 2]]);
    await eventually(async () => {
      expect(await store.ordersOn(TOPIC.orderUpdated, '2001')).toMatchObject([{ version: 2 }]);
    }, WITHIN);
    expect(await store.ordersOn(TOPIC.orderSubmitted, '2001')).toHaveLength(1);
  }, 30_000);

  it('sets a document aside that nobody can read, and goes on with its neighbours', async () => {
    await store.save('BROKEN', '{"id": BROKEN');
    await store.save('FINE', '{"id":"FINE"}');
    await store.save('HOLLOW', '{"id":"HOLLOW","text":"\\ud800"}');
    await eventually(async () => {
      expect((await store.get('/recipe/FINE.json')).status).toBe(200);
      const set = (await store.messages(`${TOPIC.recipeReceived}.dead-letter`)).map(({ key }) => key);
      expect(set.sort()).toEqual(['demo:BROKEN', 'demo:HOLLOW']);
    }, WITHIN);
    expect((await store.get('/recipe/BROKEN.json')).status).toBe(404);
  }, 30_000);

  it('answers only whom it should', async () => {
    const bare = await store.getBare('/api/v2/orders');
    expect(bare.status).toBe(401);
    expect((await store.get('/api/v2/orders', { permissions: ['recipes:read'] })).status).toBe(403);
    expect((await store.get('/recipe/FINE.json', { permissions: ['orders:read'] })).status).toBe(403);
    expect((await store.get('/recipe/FINE.json', { tenant: 'other' })).status).toBe(404);
    expect((await store.get('/internal/recipes/demo/FINE/1', { tenant: 'other' })).status).toBe(404);
    expect(await (await store.get('/api/v2/orders', { tenant: 'other' })).json()).toEqual({
      items: [],
      nextCursor: null,
    });
  });

  it('reports what became of saved recipes', async () => {
    const path = '/api/v2/reports/conversions';
    const answer = await store.get(`${path}?from=2026-01-01&to=2026-01-31&groupBy=channel`);
    expect(answer.status).toBe(200);
    const { items } = ConversionsReport.parse(await answer.json());
    expect(items).toMatchObject([{ group: 'default', recipesOrdered: expect.any(Number) }]);
    expect((await store.get(`${path}?from=2026-01-01&to=2026-01-31`, { tenant: 'other' })).status).toBe(200);
    expect((await store.get(path, { permissions: ['recipes:read'] })).status).toBe(403);
    const bad = await store.get(`${path}?from=2020-01-01&to=2026-01-01`);
    expect([bad.status, await bad.json()]).toMatchObject([400, { errors: [{ code: 'range' }] }]);
    expect((await store.get(`${path}?from=soon&groupBy=hour`)).status).toBe(400);
  });

  it('says how many items wait for their recipe, and how far it is behind', async () => {
    await store.associate('3001', [['a', 'NEVER-COMES', 1]]);
    await eventually(async () => {
      const answer = await store.get('/internal/status');
      const { waitingForRecipe, lag } = StoreStatus.parse(await answer.json());
      expect(waitingForRecipe?.items).toBeGreaterThan(0);
      expect(waitingForRecipe?.oldestAt).not.toBeNull();
      expect(lag).toEqual({ [TOPIC.orderReceived]: 0, [TOPIC.recipeReceived]: 0 });
    }, WITHIN);
    const other = await store.get('/internal/status', { tenant: 'other' });
    expect(await other.json()).toMatchObject({ waitingForRecipe: { items: 0, oldestAt: null } });
    expect((await store.get('/internal/status', { permissions: ['recipes:read'] })).status).toBe(403);
    expect((await store.getBare('/internal/status')).status).toBe(401);
  }, 30_000);

  it('names every fault of a query, and knows nothing of what is not there', async () => {
    const bad = await store.get('/api/v2/orders?limit=0&status=lost&colour=red');
    expect(bad.status).toBe(400);
    expect(bad.headers.get('content-type')).toBe('application/problem+json');
    const { errors } = (await bad.json()) as { errors: unknown[] };
    expect(errors).toHaveLength(3);
    for (const path of [
      '/api/v2/orders/0195f0c2-0000-7000-8000-000000000000',
      '/api/v2/orders/nothing',
      '/recipe/NOTHING.json',
      '/recipe/FINE',
      '/recipe/..json',
      '/internal/recipes/demo/FINE/2',
      '/internal/recipes/demo/FINE/x',
    ]) {
      expect([path, (await store.get(path)).status]).toEqual([path, 404]);
    }
  });
});
