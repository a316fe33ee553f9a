import { describe, expect, it } from '@jest/globals';

import { TriggerRequest } from '@heddle/contracts';
import type {
  DeliveryDetails,
  DeliveryRequestedV1,
  OrderChangedV1,
  TriggerAnswer,
  TriggerPreview,
} from '@heddle/contracts';
import { execute, query } from '@heddle/persistence';

import { TENANT, contentVersion, done, failed, order, recipe, started, suiteBench } from './harness.js';
import type { Bench, OrderInput } from './harness.js';

let bench: Bench;
suiteBench((opened) => (bench = opened));

const v = (version: number, input: OrderInput = {}): OrderChangedV1 => order({ version, ...input });
const caller = (channel?: string) => ({
  tenant: TENANT,
  permissions: ['deliveries:trigger' as const],
  actor: 'key:hand',
  channel,
});

async function trigger(body: object, key?: string, channel?: string): Promise<TriggerAnswer> {
  return await bench.triggers.trigger(caller(channel), {
    request: TriggerRequest.parse(body),
    idempotencyKey: key,
  });
}

async function preview(body: object): Promise<TriggerPreview> {
  return await bench.triggers.preview(caller(), TriggerRequest.parse({ ...body, dryRun: true }));
}

async function detailsOf(deliveryId: string | undefined): Promise<DeliveryDetails> {
  const found = await bench.deliveries.read({ tenant: TENANT, channel: undefined }, deliveryId!);
  expect(found).toBeDefined();
  return found!;
}

/** What goes out until nothing is left. An offer that has expired already only removes what an earlier one left. */
async function sent(): Promise<readonly DeliveryRequestedV1[]> {
  return (await bench.drain()).filter(({ notAfter }) => Date.parse(notAfter) > Date.now());
}

/** The one offer of the next pass. */
async function next(): Promise<DeliveryRequestedV1> {
  const offers = (await bench.pump()).filter(({ notAfter }) => Date.parse(notAfter) > Date.now());
  expect(offers).toHaveLength(1);
  return offers[0]!;
}

const NUMBER = { orderNumber: '1022' };

describe('a manual trigger', () => {
  it('sends everything again, linked to what it repeats, with three fresh attempts', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.drain();
    const { triggerId, deliveries } = await trigger(NUMBER);
    expect(deliveries).toHaveLength(1);
    for (const attempt of [1, 2, 3]) {
      const [offer] = await bench.pump();
      expect(offer).toMatchObject({ deliveryId: deliveries[0], attempt, trigger: 'order.submitted' });
      expect(offer!.files.map(({ name }) => name)).toEqual(first!.files.map(({ name }) => name));
      await bench.report(started(offer!), failed(offer!, 'NOT_FOUND'));
    }
    expect(await detailsOf(deliveries[0])).toMatchObject({
      state: 'failed',
      triggerId,
      repeats: first!.deliveryId,
      attempts: [{}, {}, {}],
    });
  });

  it('delivers what had failed for good, at the newest version', async () => {
    await bench.integration({ triggers: ['order.submitted'] });
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.report(failed(offer!, 'HOST_KEY_MISMATCH'));
    await bench.say('order.updated', v(2));
    const { deliveries } = await trigger({ orderId: '6182665224482' });
    const [offer2] = await bench.drain();
    expect(contentVersion(offer2!)).toBe(2);
    expect(await detailsOf(deliveries[0])).toMatchObject({ state: 'succeeded', version: 2 });
  });

  it('sends orders of before the integration was active, and such that no event of it starts', async () => {
    const late = await bench.integration({ activeFrom: '2026-06-01T00:00:00.000Z' });
    const feed = await bench.integration({ triggers: ['recipe.created'] });
    await bench.say('order.submitted', v(1));
    expect(await bench.drain()).toEqual([]);
    await trigger(NUMBER);
    await trigger({ ...NUMBER, integrationIds: [feed] });
    expect((await bench.drain()).map(({ integrationId }) => integrationId).toSorted()).toEqual(
      [late, feed].toSorted(),
    );
  });

  it('takes the place of what waits or retries, and lets what is in flight end first', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [running] = await bench.pump();
    await bench.report(started(running!));
    const { deliveries: first } = await trigger(NUMBER);
    const { deliveries: second } = await trigger(NUMBER);
    expect(await bench.pump()).toEqual([]);
    expect(await detailsOf(first[0])).toMatchObject({ state: 'superseded', reason: 'repeated' });
    expect(await detailsOf(second[0])).toMatchObject({ state: 'waiting', reason: 'lane' });
    await bench.report(failed(running!, 'TIMEOUT'));
    expect(await detailsOf(running!.deliveryId)).toMatchObject({ state: 'superseded', reason: 'repeated' });
    expect((await sent()).map(({ deliveryId }) => deliveryId)).toEqual(second);
  });

  it('takes a newer version along while it waits, and then keeps its attempts against newer ones', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    const { deliveries } = await trigger(NUMBER);
    await bench.say('order.updated', v(2));
    expect(await bench.states()).toHaveLength(2);
    const [offer] = await bench.pump();
    expect(contentVersion(offer!)).toBe(2);
    await bench.report(failed(offer!, 'TIMEOUT'));
    await bench.say('order.updated', v(3));
    expect(await detailsOf(deliveries[0])).toMatchObject({ state: 'retrying' });
    const last = await bench.drain();
    expect(last.map((given) => [given.deliveryId === deliveries[0], contentVersion(given)])).toEqual([
      [true, 2],
      [false, 3],
    ]);
  });

  it('ends with its order', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const { deliveries } = await trigger(NUMBER);
    await bench.say('order.cancelled', v(2, { status: 'cancelled', reason: 'cancelled' }));
    expect(await detailsOf(deliveries[0])).toMatchObject({ state: 'cancelled', reason: 'order-cancelled' });
  });

  it('sends a cancelled order to those alone that take the news of a cancel', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.say('order.cancelled', v(2, { status: 'cancelled', reason: 'cancelled' }));
    await expect(trigger(NUMBER)).rejects.toMatchObject({ status: 409 });
    const taking = await bench.integration({ triggers: ['order.cancelled'] });
    await trigger(NUMBER);
    expect(await bench.drain()).toMatchObject([{ integrationId: taking, trigger: 'order.cancelled' }]);
  });

  it('makes one set of deliveries for one Idempotency-Key', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    const answer = await trigger(NUMBER, 'once');
    expect(await trigger(NUMBER, 'once')).toEqual(answer);
    expect(await bench.drain()).toHaveLength(1);
    await expect(trigger({ ...NUMBER, onlyMissing: true }, 'once')).rejects.toMatchObject({ status: 422 });
  });

  it('keeps who asked for it', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const { triggerId } = await trigger(NUMBER);
    expect(
      await query(
        bench.dataSource,
        'SELECT actor, action, subject FROM dispatcher.audit WHERE subject = $1',
        [`trigger:${triggerId}`],
      ),
    ).toEqual([{ actor: 'key:hand', action: 'delivery.triggered', subject: `trigger:${triggerId}` }]);
  });
});

describe('onlyMissing', () => {
  it('sends what has no receipt yet, and shows the earlier receipts of the rest', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    const [kept, ...lost] = offer!.files;
    await bench.report(
      failed(offer!, 'TOO_LARGE', {
        receipts: done(offer!).receipts.filter(({ name }) => name === kept!.name),
      }),
    );
    const { deliveries } = await trigger({ ...NUMBER, onlyMissing: true });
    expect((await sent()).map(({ files }) => files.map(({ name }) => name))).toEqual([
      lost.map(({ name }) => name),
    ]);
    expect(await detailsOf(deliveries[0])).toMatchObject({
      state: 'succeeded',
      files: [{ name: kept!.name, state: 'delivered' }, { state: 'delivered' }, { state: 'delivered' }],
    });
  });

  it('succeeds without an attempt where nothing is missing', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    await bench.takeFinished();
    const { deliveries } = await trigger({ ...NUMBER, onlyMissing: true });
    expect(await bench.drain()).toEqual([]);
    expect(await detailsOf(deliveries[0])).toMatchObject({
      state: 'succeeded',
      attempts: [],
      files: [{ state: 'delivered' }, { state: 'delivered' }, { state: 'delivered' }],
    });
    expect(await bench.takeFinished()).toMatchObject([
      { topic: 'delivery.succeeded', receipts: [{}, {}, {}] },
    ]);
  });

  it.each([
    ['no receipt of a version of the integration that led to another place', 2, [3]],
    ['the receipts of an older version that led to the same place', 1, []],
  ])('counts %s', async (_what, targetVersion, sizes) => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    await bench.approve(integrationId, 2, targetVersion);
    await trigger({ ...NUMBER, onlyMissing: true });
    expect((await bench.drain()).map(({ files }) => files.length)).toEqual(sizes);
  });

  it('tells on every attempt what earlier deliveries of the same files have noted, and counts no receipt of theirs', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const first = await next();
    await bench.report(failed(first, 'REJECTED', { notes: { a: '250', gone: '550' } }));

    await trigger(NUMBER);
    const all = await next();
    expect(all).not.toHaveProperty('earlierNotes');
    await bench.report(done(all, { notes: { b: '250' } }));

    const { deliveries } = await trigger({ ...NUMBER, onlyMissing: true });
    const earlierNotes = { a: '250', b: '250', gone: '550' };
    for (const attempt of [1, 2]) {
      const offer = await next();
      expect(offer).toMatchObject({ deliveryId: deliveries[0], attempt, files: [{}, {}, {}], earlierNotes });
      expect(offer).not.toHaveProperty('notes');
      await bench.report(started(offer), failed(offer, 'TIMEOUT'));
      // Notes say themselves which place they are about.
      if (attempt === 1) await bench.approve(integrationId, 2, 2);
    }
    await bench.say('order.updated', { ...v(2), items: v(1).items });
    await trigger({ ...NUMBER, onlyMissing: true });
    for (const offer of await sent()) expect(offer).not.toHaveProperty('earlierNotes');
  });

  it('counts the notes of no delivery that lacked a file', async () => {
    await bench.integration({ include: { ticket: false } });
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(done(first!, { notes: { a: '250' } }));
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.integration_versions SET include = jsonb_set(include::jsonb, '{ticket}', 'true')`,
    );
    await trigger({ ...NUMBER, onlyMissing: true });
    const [offer] = await bench.pump();
    expect(offer!.files).toHaveLength(first!.files.length + 1);
    expect(offer).not.toHaveProperty('earlierNotes');
  });

  it('sends all of a newer version: behind the same address there may be other bytes', async () => {
    await bench.integration({ triggers: ['order.submitted'] });
    await bench.say('order.submitted', v(1));
    await bench.drain();
    await bench.say('order.updated', { ...v(2), items: v(1).items });
    await trigger({ ...NUMBER, onlyMissing: true });
    expect((await bench.drain()).map(({ files }) => files.length)).toEqual([3]);
  });
});

describe('by recipe', () => {
  it('sends the orders that use it, else the recipe itself, or what is asked for', async () => {
    await bench.integration({ triggers: ['order.submitted', 'recipe.created'] });
    await bench.recipes(recipe('DRIVE-001'), recipe('DRIVE-002'));
    await bench.say('order.submitted', v(1));
    await bench.drain();
    const sentBy = async (body: object): Promise<unknown> => {
      await trigger(body);
      return (await bench.drain()).map((offer) => [offer.trigger, offer.recipeIds]);
    };
    expect(await sentBy({ recipeId: 'DRIVE-001' })).toEqual([['order.submitted', ['DRIVE-001']]]);
    expect(await sentBy({ recipeId: 'DRIVE-002' })).toEqual([['recipe.created', ['DRIVE-002']]]);
    expect(await sentBy({ recipeId: 'DRIVE-001', as: 'recipe' })).toEqual([
      ['recipe.created', ['DRIVE-001']],
    ]);
    await expect(trigger({ recipeId: 'DRIVE-002', as: 'orders' })).rejects.toMatchObject({ status: 404 });
  });

  it('sends the newest version, which started nothing when it came', async () => {
    await bench.integration({ triggers: ['recipe.created'] });
    await bench.recipes(recipe('DRIVE-001'));
    await bench.drain();
    const newer = recipe('DRIVE-001', { version: 2 });
    await bench.updatedRecipes(newer);
    expect(await bench.drain()).toEqual([]);
    const { deliveries } = await trigger({ recipeId: 'DRIVE-001' });
    await bench.drain();
    expect(await detailsOf(deliveries[0])).toMatchObject({ state: 'succeeded', version: 2 });
  });
});

describe('what cannot be triggered', () => {
  it('is refused with the reason, integration by integration', async () => {
    const disabled = await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    await bench.change(disabled, { status: 'disabled' });
    await expect(trigger({ ...NUMBER, integrationIds: [disabled] })).rejects.toMatchObject({
      status: 409,
      options: { errors: [{ pointer: '/integrationIds/0', message: expect.stringContaining('disabled') }] },
    });
    const unknown = '0195f0c2-0000-7000-8000-00000000dead';
    await expect(trigger({ ...NUMBER, integrationIds: [unknown] })).rejects.toMatchObject({ status: 400 });
    await expect(trigger(NUMBER)).rejects.toMatchObject({ status: 409 });
    await expect(trigger({ orderNumber: '9' })).rejects.toMatchObject({ status: 404 });
  });

  it('holds what is not one name, or not of the channel that the key or the integration serves', async () => {
    for (const body of [{}, { ...NUMBER, recipeId: 'DRIVE-001' }, { ...NUMBER, as: 'recipe' }])
      expect(TriggerRequest.safeParse(body).success).toBe(false);
    const other = await bench.integration({ channels: ['other'] });
    await bench.say('order.submitted', v(1));
    await expect(trigger({ ...NUMBER, integrationIds: [other] })).rejects.toMatchObject({ status: 409 });
    await expect(trigger(NUMBER, undefined, 'other')).rejects.toMatchObject({ status: 404 });
  });

  it('waits with a paused integration', async () => {
    const paused = await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.drain();
    await bench.change(paused, { status: 'paused' });
    const { deliveries } = await trigger(NUMBER);
    expect(await bench.pump()).toEqual([]);
    expect(await detailsOf(deliveries[0])).toMatchObject({ state: 'waiting', reason: 'paused' });
  });
});

describe('cancelling a delivery', () => {
  const cancel = async (deliveryId: string): Promise<DeliveryDetails | undefined> =>
    await bench.cancelling.cancel(caller(), deliveryId);

  it('ends what has not gone out, and lets the next of the lane take its turn', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.say('order.updated', v(2));
    const [, behind] = await query<{ id: string }>(
      bench.dataSource,
      'SELECT delivery_id AS id FROM dispatcher.deliveries ORDER BY delivery_id',
    );
    expect(await cancel(behind!.id)).toMatchObject({ state: 'cancelled', reason: 'by-request' });
    expect(await cancel(behind!.id)).toMatchObject({ state: 'cancelled' });
    await bench.report(done(offer!));
    expect(await sent()).toEqual([]);

    const { deliveries } = await trigger(NUMBER);
    const [again] = await bench.pump();
    await bench.report(failed(again!, 'TIMEOUT'));
    await bench.say('order.updated', v(3));
    expect(await cancel(deliveries[0]!)).toMatchObject({ state: 'cancelled', nextAttemptAt: null });
    expect((await sent()).map(contentVersion)).toEqual([3]);
  });

  it('is refused while it is in flight, after its end, and to a key of another channel', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await expect(cancel(offer!.deliveryId)).rejects.toMatchObject({ status: 409 });
    await bench.report(done(offer!));
    await expect(cancel(offer!.deliveryId)).rejects.toMatchObject({ status: 409 });
    expect(await bench.cancelling.cancel(caller('other'), offer!.deliveryId)).toBeUndefined();
  });

  it('has what an attempt may have left removed', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.report(started(offer!), failed(offer!, 'TIMEOUT'));
    await cancel(offer!.deliveryId);
    expect(await bench.takeOffers()).toMatchObject([
      {
        deliveryId: offer!.deliveryId,
        notAfter: '1970-01-01T00:00:00.000Z',
        earlierOfferIds: [offer!.offerId],
      },
    ]);
  });
});

describe('a dry run', () => {
  it('says what would be sent and changes nothing', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1, { waiting: ['DRIVE-009'] }));
    const before = await bench.states();
    const { triggerId, deliveries } = await preview(NUMBER);
    expect(triggerId).toBeNull();
    expect(deliveries).toMatchObject([
      {
        integrationId,
        destination: 'sftp',
        orderNumber: '1022',
        version: 1,
        supersedes: [expect.any(String)],
        files: [{ kind: 'recipe' }, { kind: 'ticket' }, { kind: 'production' }],
        missing: ['DRIVE-009'],
      },
    ]);
    expect(await bench.states()).toEqual(before);
  });
});
