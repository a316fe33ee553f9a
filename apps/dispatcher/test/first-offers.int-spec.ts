import { beforeEach, describe, expect, it } from '@jest/globals';

import { execute, query } from '@heddle/persistence';
import type { DeliveryRequestedV1, OrderChangedV1 } from '@heddle/contracts';

import { done, failed, order, recipe, started, suiteBench } from './harness.js';
import type { Bench } from './harness.js';

let bench: Bench;
suiteBench((opened) => (bench = opened));
beforeEach(() => {
  bench.offersAtOnce = true;
});

const DEMO = { tenant: 'demo', channel: undefined };

describe('the first delivery of a lane', () => {
  it('is in flight with the event that starts it, exactly as the pump would have offered it', async () => {
    await bench.integration({ limits: { window: 8, perSecond: 5 } });
    const kept = async (): Promise<unknown> => {
      const offers = await bench.takeOffers();
      const [deliveries, files, rows, flows] = await Promise.all(
        [
          `SELECT to_jsonb(d) AS row FROM dispatcher.deliveries d`,
          `SELECT to_jsonb(f) AS row FROM dispatcher.delivery_files f ORDER BY f.position`,
          `SELECT to_jsonb(o) AS row FROM dispatcher.offers o`,
          `SELECT jsonb_build_object('tokens', f.tokens) AS row FROM dispatcher.integration_flow f`,
        ].map(async (sql) => await query<{ row: Record<string, unknown> }>(bench.dataSource, sql)),
      );
      await execute(
        bench.dataSource,
        `TRUNCATE dispatcher.deliveries, dispatcher.heads, dispatcher.handled_events CASCADE`,
      );
      await execute(bench.dataSource, `UPDATE dispatcher.integration_flow SET tokens = 5`);
      return { offers: offers.map(alike), deliveries, files, rows, flows };
    };
    expect(await bench.say('order.submitted', order())).toBe('offered');
    const atOnce = await kept();
    bench.offersAtOnce = false;
    await bench.say('order.submitted', order());
    await bench.offers.offer();
    const byThePump = await kept();

    expect(JSON.parse(JSON.stringify(atOnce), sameForBoth)).toEqual(
      JSON.parse(JSON.stringify(byThePump), sameForBoth),
    );
    expect(atOnce).toMatchObject({
      offers: [{ attempt: 1 }],
      deliveries: [{ row: { state: 'in-flight' } }],
      flows: [{ row: { tokens: 4 } }],
    });
  });

  it('goes on like any other: it fails, is retried by the pump, and succeeds', async () => {
    await bench.integration();
    await bench.say('order.submitted', order());
    const [first] = await bench.takeOffers();
    await bench.report(
      started(first!),
      failed(first!, 'TIMEOUT', { receipts: done(first!).receipts.slice(0, 1) }),
    );
    const [second] = await bench.pump();
    expect(second).toMatchObject({ attempt: 2, earlierOfferIds: [first!.offerId] });
    expect(second!.files).toHaveLength(first!.files.length - 1);
    await bench.report(done(second!));
    expect(await bench.takeFinished()).toMatchObject([{ topic: 'delivery.succeeded', attempts: 2 }]);
  });

  it('is offered at once of a recipe as well, and of each integration by itself', async () => {
    const feed = await bench.integration({ triggers: ['recipe.created'] });
    await bench.recipes(recipe('A'));
    expect(await bench.takeOffers()).toMatchObject([{ integrationId: feed, recipeIds: ['A'] }]);
    const hooks = [await bench.integration(), await bench.integration()];
    await bench.say('order.submitted', order());
    expect((await bench.takeOffers()).map(({ integrationId }) => integrationId)).toEqual(hooks);
  });

  it('is offered once, also where its event comes twice', async () => {
    await bench.integration();
    await Promise.all([
      bench.say('order.submitted', order()),
      bench.say('order.submitted', order()),
      bench.offers.offer(),
    ]);
    expect(await bench.pump()).toHaveLength(1);
  });
});

describe('left to the pump is', () => {
  it('what its window has no room for, and what comes behind that', async () => {
    await bench.integration({ limits: { window: 2, perSecond: null } });
    expect(await bench.say('order.submitted', numbered(1), numbered(2), numbered(3))).toBe('ready');
    const offers = await bench.takeOffers();
    expect(offers.map(numberOf)).toEqual(['2001', '2002']);
    expect(await bench.pump()).toEqual([]);
    // Room, and an order that could take it before the one that waits.
    await bench.report(...offers.map((offer) => done(offer)));
    await bench.say('order.submitted', numbered(4));
    expect(await bench.takeOffers()).toEqual([]);
    expect((await bench.pump()).map(numberOf)).toEqual(['2003', '2004']);
  });

  it('what events of several topics have no room for together', async () => {
    for (let round = 1; round <= 8; round += 1) {
      const integrationId = await bench.integration({
        triggers: ['order.submitted', 'order.updated', 'recipe.created'],
        limits: { window: 1, perSecond: null },
      });
      await Promise.all([
        bench.say('order.submitted', numbered(2 * round)),
        bench.say('order.updated', numbered(2 * round + 1)),
        bench.recipes(recipe(`R${String(round)}`)),
      ]);
      await bench.offers.offer();
      expect(await bench.takeOffers()).toMatchObject([{ integrationId }]);
      await bench.change(integrationId, { status: 'disabled' });
    }
  });

  it('what goes beyond the limit per second', async () => {
    await bench.integration({ limits: { window: 100, perSecond: 2 } });
    await bench.say('order.submitted', numbered(1), numbered(2), numbered(3));
    await bench.say('order.submitted', numbered(4));
    expect((await bench.takeOffers()).map(numberOf)).toEqual(['2001', '2002']);
    expect(await bench.pump()).toEqual([]);
  });

  it('what a pause or a breaker holds', async () => {
    const paused = await bench.integration();
    await bench.change(paused, { status: 'paused' });
    const broken = await bench.integration();
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.integration_flow SET probe_at = now() + interval '1 min', probe_wait_ms = 60000
       WHERE integration_id = $1`,
      [broken],
    );
    await bench.say('order.submitted', order());
    expect(await bench.takeOffers()).toEqual([]);
    const { items } = await bench.deliveries.list(DEMO, { limit: 50 });
    expect(items.map(({ reason }) => reason).toSorted()).toEqual(['breaker', 'paused']);
  });

  it('what is not the first of its lane, whose earlier deliveries may have left something', async () => {
    await bench.integration();
    await bench.say('order.submitted', order());
    const [first] = await bench.takeOffers();
    await bench.report(started(first!), failed(first!, 'REJECTED'));
    await bench.takeOffers();
    expect(await bench.say('order.updated', order({ version: 2 }))).toBe('ready');
    expect(await bench.takeOffers()).toEqual([]);
    expect(await bench.pump()).toMatchObject([{ order: { version: 2 }, earlierOfferIds: [first!.offerId] }]);
  });

  it('what waits for its recipe', async () => {
    await bench.integration();
    expect(await bench.say('order.submitted', order({ waiting: ['LATE'] }))).toBe('nothing');
    expect(await bench.takeOffers()).toEqual([]);
    expect(await bench.states()).toMatchObject([{ state: 'waiting', reason: 'recipe' }]);
  });

  it('what has nothing to send, and what does not fit into an offer', async () => {
    await bench.integration({ include: { recipe: false, ticket: false, production: false } });
    const large = Array.from({ length: 1_001 }, (_item, n) => `R${String(n)}`);
    await bench.integration({ triggers: ['order.updated'] });
    await bench.say('order.submitted', order());
    await bench.say('order.updated', { ...order({ recipes: large }), ...nameOf(2) });
    expect(await bench.states()).toMatchObject([{ state: 'ready' }, { state: 'ready' }, { state: 'ready' }]);
    expect(await bench.pump()).toEqual([]);
    expect((await bench.takeFinished()).map(({ code }) => String(code)).toSorted()).toEqual([
      'TOO_LARGE',
      'null',
      'null',
    ]);
  });
});

function nameOf(n: number): Pick<OrderChangedV1, 'orderUid' | 'orderNumber'> {
  const suffix = String(n).padStart(12, '0');
  return { orderUid: `0195f0c2-0000-7000-8000-${suffix}`, orderNumber: String(2_000 + n) };
}

function numbered(n: number): OrderChangedV1 {
  return order(nameOf(n));
}

function numberOf(offer: DeliveryRequestedV1): string | undefined {
  return offer.order?.orderNumber;
}

/** Sealed anew each time, in a form that says nothing of what it seals. */
function alike({ sealedSettings: _, ...offer }: DeliveryRequestedV1): Partial<DeliveryRequestedV1> {
  return offer;
}

/** Ids and instants differ from one run to the next. */
function sameForBoth(key: string, value: unknown): unknown {
  const isOwn = /(?:_at|_after|notAfter)$/.test(key) || /(?:delivery|offer|event)(?:_id|Id)$/.test(key);
  return isOwn || key === 'traceparent' ? typeof value : value;
}
