import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import type { OrderChangedV1, Permission } from '@heddle/contracts';
import { newId, traceIdOf } from '@heddle/platform';
import { eventually } from '@heddle/testing';

import { contentVersion, done, failed, order, progress, started } from './harness.js';
import type { OrderInput } from './harness.js';
import { LiveDispatcher } from './live.js';

const PATIENCE = { withinMs: 20_000 };
let live: LiveDispatcher;

beforeAll(async () => {
  live = await LiveDispatcher.start({ SILENCE_MS: '3000' });
  await live.integration();
}, 60_000);
afterAll(async () => {
  await live.stop();
}, 30_000);
beforeEach(() => {
  live.work = (offer) => [started(offer), done(offer)];
  live.offers.length = 0;
  live.finished.length = 0;
});

async function value(
  name: string,
  suffix: string,
  labels: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  const text = await live.services[0]!.platform.metrics.metrics();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}${suffix}{`));
  const line = lines.find((item) =>
    Object.entries(labels).every(([label, given]) => item.includes(`${label}="${given}"`)),
  );
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

function now(input: OrderInput & { readonly orderUid: string }): OrderChangedV1 {
  return order({ acceptedAt: new Date().toISOString(), orderNumber: input.orderUid, ...input });
}

describe('from an event to a receipt', () => {
  it('delivers, publishes the success and answers questions about it', async () => {
    const orderUid = newId();
    await live.say('order.submitted', now({ orderUid }));
    await eventually(() => {
      expect(live.finished).toHaveLength(1);
    }, PATIENCE);
    expect(live.finished[0]).toMatchObject({
      topic: 'delivery.succeeded',
      headers: { ce_type: 'heddle.delivery.succeeded.v1', ce_source: '/heddle/dispatcher', tenant: 'demo' },
      data: { orderUid, attempts: 1, receipts: [{}, {}, {}] },
    });
    const list = await live.call('GET', `/api/v2/deliveries?orderUid=${orderUid}`);
    expect(list.body.items).toMatchObject([
      { state: 'succeeded', attempts: 1, destination: 'sftp', recipeIds: ['DRIVE-001'] },
    ]);
    const details = await live.call(
      'GET',
      `/api/v2/deliveries/${String(list.body.items[0]?.['deliveryId'])}`,
    );
    expect(details.body).toMatchObject({
      attempts: [{ attempt: 1, outcome: 'succeeded', durationMs: 12, sizeBytes: 34 }],
      files: [
        { state: 'delivered', receipt: { sizeBytes: 17 } },
        { kind: 'ticket', state: 'delivered' },
        { state: 'delivered' },
      ],
    });
    const unchanged = await live.call(
      'GET',
      `/api/v2/deliveries/${String(list.body.items[0]?.['deliveryId'])}`,
      { headers: { 'if-none-match': details.headers.get('etag') ?? '' } },
    );
    expect([unchanged.status, unchanged.headers.get('etag')]).toEqual([304, details.headers.get('etag')]);
  });

  it('answers a key of one channel about the deliveries of that channel alone', async () => {
    const outlet = [newId(), newId()];
    const other = newId();
    for (const orderUid of outlet) await live.say('order.submitted', now({ orderUid, channel: 'outlet' }));
    await live.say('order.submitted', now({ orderUid: other }));
    await eventually(() => {
      expect(live.finished).toHaveLength(3);
    }, PATIENCE);

    const list = async (query: string, channel?: string) =>
      await live.call('GET', `/api/v2/deliveries?${query}`, channel === undefined ? {} : { channel });
    const [found] = (await list(`orderUid=${other}`)).body.items;
    expect(found).toBeDefined();
    expect((await list(`orderUid=${other}`, 'outlet')).body.items).toEqual([]);
    const mine = await list('limit=1', 'outlet');
    const rest = await list(`limit=1&cursor=${String(mine.body.nextCursor)}`, 'outlet');
    expect([...mine.body.items, ...rest.body.items].map((item) => item['orderUid'])).toEqual(
      outlet.toReversed(),
    );
    expect(rest.body.nextCursor).toBeNull();
    expect((await list(`limit=1&cursor=${String(mine.body.nextCursor)}`, 'shop')).status).toBe(400);

    const path = `/api/v2/deliveries/${String(found?.['deliveryId'])}`;
    expect((await live.call('GET', path, { channel: 'outlet' })).status).toBe(404);
    expect((await live.call('GET', path, { channel: 'default' })).status).toBe(200);
  });

  it('shows whom a mail has reached to who may read the settings of integrations, and masks it for all else', async () => {
    const proof = {
      location: 'mailto:hall-2@factory.example',
      details: { messageId: '<1@hub.example>', 'refused gone@factory.example': 'for good' },
    };
    live.work = (offer) => {
      const end = done(offer);
      return [
        started(offer),
        { ...end, receipts: end.receipts.map((receipt) => ({ ...receipt, ...proof })) },
      ];
    };
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toMatchObject([{ topic: 'delivery.succeeded' }]);
    }, PATIENCE);
    const path = `/api/v2/deliveries/${String(live.offers[0]?.deliveryId)}`;

    const shownTo = async (...permissions: Permission[]): Promise<string> =>
      JSON.stringify((await live.call('GET', path, { permissions })).body);
    expect(await shownTo('deliveries:read', 'integrations:manage')).toContain(proof.location);
    const masked = { location: 'mailto:h***@factory.example', details: { messageId: '<1@hub.example>' } };
    for (const text of [await shownTo('deliveries:read'), JSON.stringify(live.finished)]) {
      expect(text).toContain(`"location":"${masked.location}"`);
      expect(text).toContain('"refused g***@factory.example":"for good"');
      expect(text).toContain(masked.details.messageId);
      expect(text).not.toMatch(/hall-2@|gone@/);
    }
  });

  it('shows what attempts have noted to who may read the settings of integrations, and to nobody else', async () => {
    const notes = { 'a@factory.example': '250', 'gone@factory.example': '550' };
    live.work = (offer) => [started(offer), { ...progress(offer), notes }, failed(offer, 'REJECTED')];
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toMatchObject([{ topic: 'delivery.failed' }]);
    }, PATIENCE);
    const path = `/api/v2/deliveries/${String(live.offers[0]?.deliveryId)}`;

    const shownTo = async (...permissions: Permission[]): Promise<unknown> =>
      Object.entries((await live.call('GET', path, { permissions })).body).find(([name]) => name === 'notes');
    expect(await shownTo('deliveries:read', 'integrations:manage')).toEqual(['notes', notes]);
    expect(await shownTo('admin')).toEqual(['notes', notes]);
    expect(await shownTo('deliveries:read')).toEqual(['notes', null]);
    expect(await shownTo('deliveries:read', 'deliveries:trigger')).toEqual(['notes', null]);
    expect(JSON.stringify(live.finished)).not.toContain('@factory.example');
  });

  it('keeps the trace of the event through offer and final event', async () => {
    live.traces.length = 0;
    const traceId = traceIdOf(await live.say('order.submitted', now({ orderUid: newId() })));
    await eventually(() => {
      expect(live.traces.map(({ topic, traceparent }) => [topic, traceIdOf(traceparent)])).toEqual([
        ['delivery.requested.sftp', traceId],
        ['delivery.succeeded', traceId],
      ]);
    }, PATIENCE);
  });

  it('counts attempts, measures from acceptance to delivery, and shows what is open', async () => {
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toHaveLength(1);
    }, PATIENCE);
    expect(
      await value('heddle_accept_to_delivered_seconds', '_count', { destination: 'sftp' }),
    ).toBeGreaterThan(0);
    expect(
      await value('heddle_delivery_attempts_total', '', {
        destination: 'sftp',
        outcome: 'succeeded',
        code: '',
      }),
    ).toBeGreaterThan(0);
    for (const name of ['heddle_deliveries_open', 'heddle_delivery_oldest_open_age_seconds'])
      expect(await value(name, '', { state: 'waiting' })).toBe(0);
  });

  it('retries twice and then says that it failed', async () => {
    live.work = (offer) => [started(offer), failed(offer, 'UNAVAILABLE')];
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toMatchObject([
        { topic: 'delivery.failed', data: { code: 'UNAVAILABLE', attempts: 3 } },
      ]);
    }, PATIENCE);
    expect(live.offers.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  it('offers again when a worker falls silent, without spending an attempt', async () => {
    live.work = (offer) => (live.offers.length === 1 ? [started(offer)] : [started(offer), done(offer)]);
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toMatchObject([{ topic: 'delivery.succeeded', data: { attempts: 1 } }]);
    }, PATIENCE);
    expect(live.offers.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(live.offers[1]?.earlierOfferIds).toEqual([live.offers[0]?.offerId]);
  }, 30_000);

  it('takes the code of a newer worker that it does not know for UNKNOWN, and loses no report', async () => {
    const code = 'OF_A_LATER_RELEASE' as 'UNKNOWN';
    const fault = { name: 'a', code, message: 'reading: later' };
    live.work = (offer) => [
      started(offer),
      offer.attempt === 1 ? failed(offer, code, { faults: [fault] }) : done(offer),
    ];
    await live.say('order.submitted', now({ orderUid: newId() }));
    await eventually(() => {
      expect(live.finished).toMatchObject([{ topic: 'delivery.succeeded', data: { attempts: 2 } }]);
    }, PATIENCE);
    const { body } = await live.call('GET', `/api/v2/deliveries/${String(live.offers[0]?.deliveryId)}`);
    expect(body).toMatchObject({ attempts: [{ outcome: 'failed', code: 'UNKNOWN' }, { code: null }] });
  });

  it('sets a malformed event aside and goes on with its neighbours', async () => {
    const orderUid = newId();
    await live.publish('order.submitted', 'heddle.order.submitted.v1', `demo:${orderUid}`, {
      id: newId(),
      tenant: 'demo',
      data: '{"orderUid":1}',
    });
    await live.say('order.submitted', now({ orderUid }));
    await eventually(() => {
      expect(live.finished).toMatchObject([{ data: { orderUid } }]);
    }, PATIENCE);
  });
});

describe('a trigger by hand', () => {
  it('delivers an order again over HTTP, and says beforehand what it would send', async () => {
    const orderUid = newId();
    await live.say('order.submitted', now({ orderUid }));
    await eventually(() => {
      expect(live.finished).toHaveLength(1);
    }, PATIENCE);
    const body = { orderNumber: orderUid };
    const dry = await live.call('POST', '/api/v2/trigger', { body: { ...body, dryRun: true } });
    expect(dry).toMatchObject({ status: 200, body: { triggerId: null, deliveries: [{ orderUid }] } });
    const headers = { 'idempotency-key': orderUid };
    const made = await live.call('POST', '/api/v2/trigger', { body, headers });
    expect(made).toMatchObject({ status: 202, body: { deliveries: [expect.any(String)] } });
    expect((await live.call('POST', '/api/v2/trigger', { body, headers })).body).toEqual(made.body);
    await eventually(() => {
      expect(live.finished.map(({ topic }) => topic)).toEqual(['delivery.succeeded', 'delivery.succeeded']);
    }, PATIENCE);
    const read = await live.call('POST', '/api/v2/trigger', { body, permissions: ['deliveries:read'] });
    expect(read.status).toBe(403);
    expect((await live.call('POST', '/api/v2/trigger', { body: {} })).status).toBe(400);
  });
});

describe('no lane is lost or reordered', () => {
  it('with two dispatchers, many orders, and topics without a common order', async () => {
    await live.add();
    const orders = Array.from({ length: 60 }, () => newId());
    let flaky = 0;
    live.work = (offer) => {
      flaky += 1;
      if (flaky % 7 === 0) return [started(offer), failed(offer, 'TIMEOUT')];
      if (flaky % 11 === 0) return [done(offer, { outcome: 'released', receipts: [], startedAt: null })];
      return [started(offer), done(offer)];
    };
    await Promise.all(
      orders.map(async (orderUid, index) => {
        const steps = [
          () => live.say('order.submitted', now({ orderUid, version: 1 })),
          () => live.say('order.updated', now({ orderUid, version: 2 })),
          () => live.say('order.updated', now({ orderUid, version: 3 })),
        ];
        if (index % 3 === 0) steps.reverse();
        if (index % 3 === 1) await Promise.all(steps.map((step) => step()));
        else for (const step of steps) await step();
      }),
    );
    await eventually(
      async () => {
        const last = new Map<string, number>();
        for (const { data } of live.finished) {
          const { orderUid, version } = data as { orderUid: string; version: number };
          last.set(orderUid, Math.max(version, last.get(orderUid) ?? 0));
        }
        expect(orders.filter((orderUid) => last.get(orderUid) !== 3)).toEqual([]);
        const open = await Promise.all(
          ['waiting', 'ready', 'in-flight', 'retrying'].map((state) =>
            live.call('GET', `/api/v2/deliveries?state=${state}`),
          ),
        );
        expect(open.flatMap(({ body }) => body.items)).toEqual([]);
      },
      { withinMs: 60_000 },
    );
    const byLane = Map.groupBy(live.offers, ({ order: given }) => given?.orderUid);
    for (const offers of byLane.values()) {
      const versions = offers.map((offer) => contentVersion(offer) ?? 0);
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    }
  }, 90_000);
});
