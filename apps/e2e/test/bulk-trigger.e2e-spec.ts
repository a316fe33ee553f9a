import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  BulkTrigger,
  BulkTriggerAnswer,
  BulkTriggerPreview,
  DeliveryPage,
  HubStatus,
} from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import { Heddle, HookCatcher, createIntegration, eventually } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const ORDERS = 300;
const WITHIN = { withinMs: 60_000, everyMs: 100 } as const;
const BULK = '/api/v2/trigger/bulk';

jest.setTimeout(120_000);

describe('three hundred deliveries that failed at a dead destination', () => {
  let heddle: Heddle;
  let catcher: HookCatcher;
  let integrationId: string;

  beforeAll(async () => {
    catcher = await HookCatcher.start();
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['zapier'],
      allowedAddresses: [`127.0.0.1/32:${String(catcher.port)}`],
      workerEnv: { zapier: { HOOK_REQUESTS_PER_SECOND: '1000' } },
      env: { RETRY_DELAYS_MS: '1' },
    });
    ({ integrationId } = await createIntegration(heddle.admin, {
      destination: 'zapier',
      description: 'the hall',
      settings: { 'hook-url': catcher.hookUrl('hall') },
      include: { ticket: false },
    }));
    await heddle.client.expect('POST', '/api/v2/recipe', { id: '1-BULK' });
  }, 90_000);
  afterAll(async () => {
    await heddle.stop();
    await catcher.close();
  }, 30_000);

  const numbers = Array.from({ length: ORDERS }, (_, index) => String(1_001 + index));

  const bulk = async (bulkId: string): Promise<BulkTrigger> =>
    BulkTrigger.parse(await heddle.client.expect('GET', `${BULK}/${bulkId}`));

  async function create(body: object): Promise<BulkTriggerAnswer> {
    return BulkTriggerAnswer.parse(await heddle.client.expect('POST', BULK, body));
  }

  async function count(filter: object): Promise<number> {
    const answer = await heddle.client.expect('POST', BULK, { ...filter, dryRun: true });
    return BulkTriggerPreview.parse(answer).count;
  }

  async function deliveriesOf(triggerId: string): Promise<readonly DeliverySummary[]> {
    const found: DeliverySummary[] = [];
    for (let cursor = ''; ;) {
      const path = `/api/v2/deliveries?triggerId=${triggerId}&limit=200${cursor}`;
      const page = DeliveryPage.parse(await heddle.client.expect('GET', path));
      found.push(...page.items);
      if (page.nextCursor === null) return found;
      cursor = `&cursor=${page.nextCursor}`;
    }
  }

  it('are counted, and sent again once each, though the dispatcher dies in the middle', async () => {
    catcher.rule = () => ({ status: 403 });
    await heddle.client.expect(
      'POST',
      '/api/v2/recipe/order',
      numbers.map((orderNumber) => ({ recipeId: '1-BULK', orderNumber, itemId: '1', itemQuantity: 1 })),
    );
    const failed = { integrationId, state: 'failed' };
    await eventually(async () => {
      expect(await count(failed)).toBe(ORDERS);
    }, WITHIN);
    catcher.rule = () => undefined;
    catcher.calls.length = 0;

    const { bulkId, count: counted } = await create({ ...failed, perSecond: 60 });
    expect(counted).toBe(ORDERS);
    const half = await eventually(async () => {
      const progress = await bulk(bulkId);
      expect(progress.done).toBeGreaterThan(60);
      return progress;
    }, WITHIN);
    expect(half).toMatchObject({ state: 'running', count: ORDERS, perSecond: 60, finishedAt: null });
    heddle.service('dispatcher').signal('SIGKILL');

    await eventually(async () => {
      expect(await bulk(bulkId)).toMatchObject({ state: 'done', count: ORDERS, done: ORDERS, skipped: 0 });
    }, WITHIN);
    await eventually(async () => {
      const states = (await deliveriesOf(bulkId)).map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(['succeeded']));
    }, WITHIN);
    const made = await deliveriesOf(bulkId);
    expect(made.map(({ orderNumber }) => orderNumber).toSorted()).toEqual(numbers);
    // A call may come twice around a kill, under the same id.
    const called = catcher.calls.map(({ headers, text }) => {
      const { orderNumber } = JSON.parse(text) as { orderNumber: string };
      return `${orderNumber} ${String(headers['x-delivery-id'])}`;
    });
    expect(new Set(called)).toEqual(
      new Set(made.map(({ orderNumber, deliveryId }) => `${String(orderNumber)} ${deliveryId}`)),
    );
  });

  it('stop being sent when that is cancelled', async () => {
    // What failed has been delivered since, and is not asked for as failed any more.
    expect(await count({ integrationId, state: 'failed' })).toBe(0);
    const { bulkId } = await create({ integrationId, state: 'succeeded', perSecond: 10 });
    await eventually(async () => {
      expect((await bulk(bulkId)).done).toBeGreaterThan(0);
    }, WITHIN);

    const cancelled = BulkTrigger.parse(await heddle.client.expect('POST', `${BULK}/${bulkId}/cancel`));

    expect(cancelled).toMatchObject({ state: 'cancelled', count: ORDERS, finishedAt: expect.any(String) });
    expect(cancelled.done).toBeLessThan(ORDERS);
    // Another one that is worked off meanwhile shows that time has passed.
    const other = await create({ orderNumber: numbers[0], state: 'succeeded' });
    await eventually(async () => {
      expect(await bulk(other.bulkId)).toMatchObject({ state: 'done', done: 1 });
    }, WITHIN);
    expect(await bulk(bulkId)).toEqual(cancelled);
    expect(await deliveriesOf(bulkId)).toHaveLength(cancelled.done);
  });

  it('are counted in the status of the hub, with what became of them', async () => {
    const status = HubStatus.parse(await heddle.client.expect('GET', '/api/v2/status'));
    expect(status.lastDay?.failed).toBeGreaterThanOrEqual(ORDERS);
    expect(status.lastDay?.succeeded).toBeGreaterThanOrEqual(ORDERS);
    expect(status).toMatchObject({ deliveries: {}, breakers: [], waitingForRecipe: { items: 0 } });
    expect(Object.keys(status.lag.dispatcher ?? {})).toContain('delivery.attempted');
    expect(Object.keys(status.lag['association-store'] ?? {})).toContain('order.received');
  });

  it('are sent to nobody who has no key or asks for no filter', async () => {
    expect((await heddle.client.call('POST', BULK, {})).status).toBe(400);
    expect((await heddle.client.call('GET', `${BULK}/${integrationId}`)).status).toBe(404);
    expect((await fetch(`${heddle.baseUrl}${BULK}`, { method: 'POST', body: '{}' })).status).toBe(401);
  });
});
