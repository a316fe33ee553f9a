import { describe, expect, it } from '@jest/globals';

import { DispatcherStatus, MAX_CHOSEN_ORDERS } from '@heddle/contracts';
import type { DeliveryState, OrderChangedV1 } from '@heddle/contracts';

import { countLastDay, countOpen, openBreakers } from '../src/status/status.queries.js';

import { TENANT, done, failed, order, suiteBench } from './harness.js';
import type { Bench } from './harness.js';

let bench: Bench;
// A retry that does not come by itself.
suiteBench((opened) => (bench = opened), { retry: { delaysMs: [3_600_000] } });

const READER = { tenant: TENANT, channel: undefined };
const NONE = { waiting: 0, ready: 0, 'in-flight': 0, retrying: 0, oldestWaitingAt: null };

function numbered(number: number, more: Partial<OrderChangedV1> = {}): OrderChangedV1 {
  const digits = String(number).padStart(12, '0');
  return order({ orderUid: `0195f0c2-0000-7000-8000-${digits}`, orderNumber: String(number), ...more });
}

async function openNow(reader: { tenant: string; channel: string | undefined } = READER) {
  const shape = DispatcherStatus.shape.deliveries;
  return shape.parse(await countOpen(bench.dataSource, reader));
}

describe('the status of deliveries', () => {
  it('counts what is open by its state, and says since when the oldest waits', async () => {
    const integrationId = await bench.integration({ limits: { window: 2, perSecond: null } });
    expect(await openNow()).toEqual(NONE);
    await bench.say('order.submitted', numbered(1), numbered(2), numbered(3), numbered(4));
    const [first] = await bench.pump();
    await bench.report(failed(first!, 'NOT_FOUND'));
    await bench.pump();
    expect(await openNow()).toMatchObject({
      ready: 1,
      'in-flight': 2,
      retrying: 1,
      oldestWaitingAt: expect.any(String),
    });
    await bench.change(integrationId, { status: 'paused' });
    expect(await openNow()).toMatchObject({ waiting: 1, ready: 0, 'in-flight': 2, retrying: 1 });
  });

  it('counts what has ended of a day alone', async () => {
    await bench.integration();
    await bench.say('order.submitted', numbered(1), numbered(2), numbered(3));
    const [one, two, three] = await bench.pump();
    await bench.report(done(one!), failed(two!, 'HOST_KEY_MISMATCH'), done(three!));
    expect(await countLastDay(bench.dataSource, READER, new Date())).toEqual({
      succeeded: 2,
      failed: 1,
      superseded: 0,
      cancelled: 0,
    });
    const later = new Date(Date.now() + 25 * 3_600_000);
    expect(await countLastDay(bench.dataSource, READER, later)).toMatchObject({ succeeded: 0, failed: 0 });
  });

  it('shows the breakers that are open', async () => {
    const integrationId = await bench.integration({ channels: ['default'] });
    await bench.integration();
    await bench.say('order.submitted', ...[1, 2, 3, 4, 5].map((number) => numbered(number)));
    const offers = (await bench.pump()).filter((offer) => offer.integrationId === integrationId);
    expect(await openBreakers(bench.dataSource, READER)).toEqual([]);
    await bench.report(...offers.map((offer) => failed(offer, 'UNAVAILABLE')));
    const breakers = await openBreakers(bench.dataSource, READER);
    expect(DispatcherStatus.shape.breakers.parse(breakers)).toMatchObject([
      { integrationId, destination: 'sftp', failures: 5 },
    ]);
    expect(await openBreakers(bench.dataSource, { ...READER, channel: 'default' })).toHaveLength(1);
    expect(await openBreakers(bench.dataSource, { ...READER, channel: 'teams' })).toEqual([]);
    expect(await openBreakers(bench.dataSource, { ...READER, tenant: 'other' })).toEqual([]);
  });

  it('shows nothing of other tenants or channels', async () => {
    await bench.integration();
    await bench.say('order.submitted', numbered(1), numbered(2, { channel: 'teams' }));
    expect(await openNow({ ...READER, channel: 'teams' })).toMatchObject({ ready: 1 });
    expect(await openNow({ ...READER, tenant: 'other' })).toEqual(NONE);
    await bench.drain();
    const of = (reader: typeof READER | { tenant: string; channel: string }) =>
      countLastDay(bench.dataSource, reader, new Date());
    expect(await of({ ...READER, channel: 'teams' })).toMatchObject({ succeeded: 1 });
    expect(await of({ ...READER, tenant: 'other' })).toMatchObject({ succeeded: 0 });
  });
});

describe('orders by the state of their deliveries', () => {
  it('are those that have such a delivery, each once, the last created first, and page by page', async () => {
    await bench.integration({ limits: { window: 500, perSecond: null } });
    const held = await bench.integration({ limits: { window: 500, perSecond: null }, channels: ['eu'] });
    const numbers = Array.from({ length: MAX_CHOSEN_ORDERS + 3 }, (_, index) => index + 1);
    await bench.say('order.submitted', ...numbers.map((number) => numbered(number)));
    const offers = await bench.pump();
    const uidOf = (number: number): string => numbered(number).orderUid;
    const failing = offers.filter(({ order: of }) => of?.orderUid === uidOf(2));
    const others = offers.filter((offer) => !failing.includes(offer));
    await bench.report(
      ...failing.map((offer) => failed(offer, 'REJECTED')),
      ...others.map((offer) => done(offer)),
    );
    await bench.say('order.submitted', numbered(900, { channel: 'eu' }));
    await bench.change(held, { status: 'paused' });

    const orders = (state: DeliveryState, before?: string, channel?: string): Promise<readonly string[]> =>
      bench.deliveries.ordersIn({ tenant: TENANT, channel }, { state, before });
    expect(await orders('failed')).toEqual([uidOf(2)]);
    expect(await orders('failed', uidOf(2))).toEqual([]);
    const first = await orders('succeeded');
    const newest = numbers.toReversed().filter((number) => number !== 2);
    expect(first).toEqual(newest.slice(0, MAX_CHOSEN_ORDERS).map(uidOf));
    expect(await orders('succeeded', first.at(-1))).toEqual(newest.slice(MAX_CHOSEN_ORDERS).map(uidOf));
    // As its reader sees it: paused is waiting.
    expect(await orders('waiting')).toEqual([uidOf(900)]);
    expect(await orders('ready')).toEqual([uidOf(900)]);
    expect(await orders('waiting', undefined, 'other')).toEqual([]);
    expect(
      await bench.deliveries.ordersIn({ tenant: 'other', channel: undefined }, { state: 'failed' }),
    ).toEqual([]);
  });
});
