import { describe, expect, it } from '@jest/globals';

import { execute, query } from '@heddle/persistence';
import type {
  DeliveryFilter,
  DeliveryRequestedV1,
  OfferedFile,
  OrderChangedV1,
  RecipeSavedV1,
} from '@heddle/contracts';

import {
  contentVersion,
  done,
  failed,
  order,
  progress,
  recipe,
  received,
  ORDER_TOPICS,
  started,
  suiteBench,
} from './harness.js';
import type { Bench, OrderInput } from './harness.js';

let bench: Bench;
suiteBench((opened) => (bench = opened));

const v = (version: number, input: OrderInput = {}): OrderChangedV1 => order({ version, ...input });
const DEMO = { tenant: 'demo', channel: undefined };
const NEVER = '1970-01-01T00:00:00.000Z';
const cancelled = (version: number): OrderChangedV1 =>
  v(version, { status: 'cancelled', reason: 'cancelled' });

describe('the life of a delivery', () => {
  it('goes from an event through an offer to a published success', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));

    const [offer, ...others] = await bench.pump();
    expect(others).toEqual([]);
    expect(offer).toMatchObject({
      tenant: 'demo',
      integrationId,
      integrationVersion: 1,
      trigger: 'order.submitted',
      attempt: 1,
      order: {
        orderNumber: '1022',
        orderId: '6182665224482',
        version: 1,
        items: [{ recipeId: 'DRIVE-001', itemQuantity: 1 }],
      },
      recipeIds: ['DRIVE-001'],
      earlierOfferIds: [],
      leaseMs: 30_000,
      files: [
        {
          name: '1022_ID_6182665224482_R_DRIVE-001_Recipe.json',
          source: { kind: 'hub', path: '/internal/recipes/demo/DRIVE-001/1', sha256: 'a'.repeat(64) },
        },
        {
          name: '1022_ID_6182665224482_R_DRIVE-001_Ticket.pdf',
          kind: 'ticket',
          source: {
            kind: 'hub',
            path: '/internal/tickets/demo/DRIVE-001/1.pdf?orderNumber=1022&orderId=6182665224482&quantity=1&item=1%3Ai0',
          },
        },
        { name: '1022_ID_6182665224482_R_DRIVE-001_Production-Front.dst', source: { kind: 'url' } },
      ],
    });
    const settings = bench.sealer.open(offer!.sealedSettings, {
      tenant: 'demo',
      integrationId,
      field: 'settings',
    });
    expect(JSON.parse(settings)).toMatchObject({ host: 'sftp.example', 'password-secret': 'hdl1.sealed' });

    await bench.report(started(offer!), done(offer!));
    const [finished] = await bench.takeFinished();
    expect(finished).toMatchObject({ topic: 'delivery.succeeded', attempts: 1, code: null, version: 1 });
    expect(finished?.receipts).toHaveLength(3);
    const details = await bench.deliveries.read(DEMO, offer!.deliveryId);
    expect(details).toMatchObject({
      state: 'succeeded',
      attempts: [{ attempt: 1, outcome: 'succeeded', startedAt: expect.any(String) }],
    });
    expect(await query(bench.dataSource, 'SELECT worker_id FROM dispatcher.offers')).toEqual([
      { worker_id: started(offer!).workerId },
    ]);
    expect(details?.files.map(({ state }) => state)).toEqual(['delivered', 'delivered', 'delivered']);
  });

  it('retries twice with what is missing only, then fails for good', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(
      started(first!),
      failed(first!, 'SOURCE_UNAVAILABLE', { receipts: done(first!).receipts.slice(0, 1) }),
    );
    const [second] = await bench.pump();
    expect(second).toMatchObject({ attempt: 2, earlierOfferIds: [first!.offerId] });
    expect(second!.files.map(({ name }) => name)).toEqual(first!.files.slice(1).map(({ name }) => name));
    await bench.report(failed(second!, 'TIMEOUT'));
    const [third] = await bench.pump();
    await bench.report(failed(third!, 'TIMEOUT'));

    expect(await bench.pump()).toMatchObject([{ notAfter: NEVER }]);
    expect(await bench.takeFinished()).toMatchObject([
      { topic: 'delivery.failed', code: 'TIMEOUT', attempts: 3, receipts: [{ name: first!.files[0]!.name }] },
    ]);
  });

  it('tells the next attempt what the ones before had begun to write', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    const [one, ...others] = first!.files.map(({ name }) => name) as [string, ...string[]];
    const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
    const begins = (name: string, sha256: string) => ({ ...progress(first!, []), begun: [{ name, sha256 }] });
    await bench.report(
      started(first!),
      begins(one, a),
      begins(one, b),
      begins(one, a),
      begins('never-offered', a),
    );
    await bench.report(failed(first!, 'UNAVAILABLE'));

    const [second] = await bench.pump();

    expect(second!.files.map(({ name, begun }) => [name, begun?.toSorted()])).toEqual([
      [one, [a, b]],
      ...others.map((other) => [other, undefined]),
    ]);
  });

  it('tells the next attempt what the ones before have noted', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    expect(first).not.toHaveProperty('notes');
    const notes = (offer: DeliveryRequestedV1, values: Record<string, string>) => ({
      ...progress(offer, []),
      notes: values,
    });
    await bench.report(
      started(first!),
      notes(first!, { a: '1', b: '1' }),
      notes(first!, { b: '2' }),
      failed(first!, 'DEFERRED'),
    );
    const [second] = await bench.pump();
    expect(second).toMatchObject({ attempt: 2, notes: { a: '1', b: '2' } });
    await bench.report(started(second!), notes(second!, { c: '3' }));
    await bench.report(failed(second!, 'DEFERRED'));
    expect(await bench.pump()).toMatchObject([{ attempt: 3, notes: { a: '1', b: '2', c: '3' } }]);
  });

  it.each([
    ['the whole set to the place that a newer version leads to', 2, 0],
    ['what is missing where a newer version leads to the same place', 1, 1],
  ])('sends %s', async (_what, targetVersion, kept) => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    const names = first!.files.map(({ name }) => name);
    const begun = names.map((name) => ({ name, sha256: 'a'.repeat(64) }));
    const begins = { ...progress(first!, names.slice(0, 1)), begun };
    await bench.report(started(first!), begins);
    await bench.report(failed(first!, 'UNAVAILABLE'));
    await bench.approve(integrationId, 2, targetVersion);

    const [second] = await bench.pump();

    expect(second!.files.map(({ name }) => name)).toEqual(names.slice(kept));
    expect(second!.files.every((file) => (file.begun === undefined) === (kept === 0))).toBe(true);
    await bench.report(done(second!));
    expect(await bench.takeFinished()).toMatchObject([
      { topic: 'delivery.succeeded', receipts: names.map((name) => ({ name })) },
    ]);
  });

  it('takes no receipt of an older offer for one of the place that the newer offer went to', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!));
    await bench.age(first!.offerId, 60);
    await bench.reports.giveUp(45_000);
    await bench.approve(integrationId, 2, 2);
    const [second] = await bench.pump();

    await bench.report(done(first!));
    await bench.report(failed(second!, 'UNAVAILABLE'));

    expect(await bench.takeFinished()).toEqual([]);
    expect((await bench.pump()).map(({ files }) => files.length)).toEqual([first!.files.length]);
  });

  it('sends the whole set where an older dispatcher has written the version, which may lead elsewhere', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!), progress(first!, [first!.files[0]!.name]));
    await bench.report(failed(first!, 'UNAVAILABLE'));
    await bench.approveAsBefore(integrationId, 2);

    expect((await bench.pump()).map(({ files }) => files.length)).toEqual([first!.files.length]);
  });

  it('goes on with what an older dispatcher has offered', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.offerAsBefore(first!);
    await bench.report(started(first!));
    await bench.age(first!.offerId, 60);
    await bench.reports.giveUp(45_000);
    await bench.approve(integrationId, 2, 1);
    const [second] = await bench.pump();

    await bench.report(done(first!));
    await bench.report(failed(second!, 'UNAVAILABLE'));

    expect(await bench.takeFinished()).toMatchObject([{ topic: 'delivery.succeeded' }]);
  });

  it('does not retry what waiting cannot mend', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.report(failed(offer!, 'HOST_KEY_MISMATCH'));
    expect(await bench.takeFinished()).toMatchObject([{ code: 'HOST_KEY_MISMATCH', attempts: 1 }]);
  });

  it('offers again without spending an attempt when a worker gives an offer back', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(done(first!, { outcome: 'released', receipts: [], startedAt: null }));
    const [second] = await bench.pump();
    expect(second).toMatchObject({ attempt: 1 });
    expect(second!.offerId).not.toBe(first!.offerId);
  });

  it('keeps receipts of an older offer, and lets its late success complete a delivery that is open', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!));
    await bench.age(first!.offerId, 60);
    expect(await bench.reports.giveUp(45_000)).toBe(true);
    await bench.report(done(first!));
    expect(await bench.takeFinished()).toMatchObject([{ topic: 'delivery.succeeded', attempts: 1 }]);
    expect(await bench.pump()).toEqual([]);
  });

  it('waits for the offer under way before a late success counts, so that two versions never meet', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!));
    await bench.age(first!.offerId, 60);
    await bench.reports.giveUp(45_000);
    const [second] = await bench.pump();
    await bench.report(done(first!));
    expect(await bench.takeFinished()).toEqual([]);
    await bench.report(failed(second!, 'UNAVAILABLE'));
    expect(await bench.takeFinished()).toMatchObject([{ topic: 'delivery.succeeded' }]);
  });

  it('changes nothing when reports and events come twice', async () => {
    await bench.integration();
    const event = received(ORDER_TOPICS['order.submitted'], v(1), 'demo');
    await bench.chunk('order.submitted', [event, event]);
    await bench.chunk('order.submitted', [event]);
    const [offer, ...others] = await bench.pump();
    expect(others).toEqual([]);
    await bench.report(done(offer!), done(offer!));
    await bench.report(done(offer!));
    expect(await bench.takeFinished()).toHaveLength(1);
    expect(await bench.states()).toHaveLength(1);
  });

  it('sends the recipe feed, one lane per recipe', async () => {
    await bench.integration({ triggers: ['recipe.created'], temporaryRecipes: false });
    await bench.recipes(recipe('A'), recipe('B'), recipe('C', { temporary: true }));
    const offers = await bench.pump();
    expect(offers.map(({ files }) => files[0]!.name)).toEqual(['A-Recipe.json', 'B-Recipe.json']);
    await bench.report(...offers.map((offer) => done(offer)));
    expect(await bench.takeFinished()).toMatchObject([{ orderUid: null }, { recipeIds: ['B'] }]);
  });

  it('starts the feed once when a recipe becomes permanent, where temporary ones do not count', async () => {
    const feed = { triggers: ['recipe.created'] } as const;
    const permanent = await bench.integration({ ...feed, temporaryRecipes: false });
    const all = await bench.integration({ ...feed, temporaryRecipes: true });
    await bench.integration();
    const at = (version: number, fields: Partial<RecipeSavedV1> = {}): RecipeSavedV1 =>
      recipe('A', { version, ...fields });
    const offered = async (): Promise<readonly (readonly [string, string, string])[]> => {
      const offers = await bench.pump();
      await bench.report(...offers.map((offer) => done(offer)));
      return offers.map(({ integrationId, trigger, files }) => [
        integrationId,
        trigger,
        JSON.stringify(files[0]?.source),
      ]);
    };
    const version = (n: number): unknown => expect.stringContaining(`/A/${String(n)}"`);

    await bench.recipes(at(1, { temporary: true }));
    expect(await offered()).toEqual([[all, 'recipe.created', version(1)]]);
    // For those that count temporary recipes it is created by now.
    await bench.integration({ ...feed, temporaryRecipes: true });
    await bench.updatedRecipes(at(2, { temporary: true }));
    expect(await offered()).toEqual([]);
    // With what came right behind it.
    await bench.updatedRecipes(at(3, { becamePermanent: true }), at(4));
    expect(await offered()).toEqual([[permanent, 'recipe.created', version(4)]]);

    await bench.updatedRecipes(at(5, { temporary: true }), at(6, { becamePermanent: true }));
    expect(await offered()).toEqual([]);
  });

  it('does not start the feed twice where the creation comes behind the update', async () => {
    await bench.integration({ triggers: ['recipe.created'], temporaryRecipes: false });
    await bench.updatedRecipes(recipe('A', { version: 2, becamePermanent: true }));
    await bench.recipes(recipe('A', { temporary: true }));
    expect(await bench.pump()).toHaveLength(1);
    expect(await bench.states()).toHaveLength(1);
  });

  it('succeeds at once when the integration includes none of the files', async () => {
    await bench.integration({ include: { recipe: false, ticket: false, production: false } });
    await bench.say('order.submitted', v(1));
    expect(await bench.pump()).toEqual([]);
    expect(await bench.takeFinished()).toMatchObject([
      { topic: 'delivery.succeeded', attempts: 0, receipts: [] },
    ]);
  });

  it.each([
    ['more files than one delivery may have', 1_001, ''],
    ['files that do not fit into one offer', 999, '?signature=' + 'x'.repeat(8_000)],
  ])('fails for good, saying what to do, with %s, and offers the others', async (_, recipes, suffix) => {
    await bench.integration({ include: { ticket: false } });
    const large = v(1, { recipes: Array.from({ length: recipes }, (_item, n) => `R${String(n)}`) });
    const items = large.items.map(({ recipe: linked, ...item }) => ({
      ...item,
      recipe: { ...linked, files: linked.files.map((file) => ({ ...file, url: `${file.url}${suffix}` })) },
    }));
    await bench.say('order.submitted', { ...large, items }, numbered(2));
    expect(await bench.pump()).toMatchObject([{ order: { orderNumber: '2002' } }]);
    expect(await bench.takeFinished()).toMatchObject([
      {
        topic: 'delivery.failed',
        code: 'TOO_LARGE',
        message: expect.stringMatching(/^collecting the files: .*include fewer kinds of files$/),
        attempts: 1,
      },
    ]);
  });

  it('starts nothing for other channels, other tenants, and what was accepted before the approval', async () => {
    await bench.integration({ channels: ['outlet'] });
    await bench.integration({ tenant: 'other' });
    await bench.integration({ activeFrom: '2026-01-01T00:00:00.001Z' });
    await bench.say('order.submitted', v(1));
    expect(await bench.states()).toEqual([]);
  });
});

describe('deliveries of an order', () => {
  it('are found by its number, and by its id since that is known, by its own tenant alone', async () => {
    await bench.integration();
    await bench.integration({ tenant: 'other' });
    await bench.say('order.submitted', v(1, { orderId: null }), numbered(2), v(1, OTHERS));
    const found = async (filter: DeliveryFilter, tenant = 'demo'): Promise<readonly unknown[]> => {
      const { items } = await bench.deliveries.list({ ...DEMO, tenant }, { ...filter, limit: 50 });
      return items.map(({ orderUid, version, orderId }) => [orderUid, version, orderId]);
    };
    const { orderUid } = v(1);
    expect(await found({ orderNumber: '1022' })).toEqual([[orderUid, 1, null]]);
    expect(await found({ orderNumber: '1022' }, 'other')).toEqual([[OTHERS.orderUid, 1, '6182665224482']]);
    expect(await found({ orderNumber: '1023' })).toEqual([]);
    await bench.report(...(await bench.pump()).map((offer) => done(offer)));
    await bench.say('order.updated', v(2, { reason: 'order-id-added', orderId: 'A1' }));
    expect(await found({ orderNumber: '1022' })).toEqual([
      [orderUid, 2, 'A1'],
      [orderUid, 1, null],
    ]);
    expect(await found({ orderId: 'A1' })).toEqual([[orderUid, 2, 'A1']]);
    expect(await found({ orderId: 'A1', orderNumber: '2002' })).toEqual([]);
    expect(await found({ orderId: 'A1' }, 'other')).toEqual([]);
  });
  const OTHERS = { tenant: 'other', orderUid: '0195f0c2-0000-7000-8000-000000000009' };
});

describe('lanes', () => {
  it('supersedes what has not gone out when a newer version comes', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    await bench.say('order.updated', v(2));
    expect(await bench.states()).toMatchObject([
      { version: 1, state: 'superseded', reason: 'newer-version' },
      { version: 2, state: 'ready' },
    ]);
  });

  it('never interrupts what is in flight: the newer version waits for its turn', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.say('order.updated', v(2));
    expect(await bench.states()).toMatchObject([
      { state: 'in-flight' },
      { version: 2, state: 'waiting', reason: 'lane' },
    ]);
    expect(await bench.pump()).toEqual([]);
    await bench.report(done(first!));
    const [second] = await bench.pump();
    expect(contentVersion(second!)).toBe(2);
  });

  it('does not retry an older version when a newer one waits', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.say('order.updated', v(2));
    await bench.report(failed(first!, 'TIMEOUT'));
    expect(await bench.states()).toMatchObject([
      { version: 1, state: 'superseded', reason: 'newer-version' },
      { version: 2, state: 'ready' },
    ]);
  });

  it('supersedes a delivery between two attempts', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(failed(first!, 'TIMEOUT'));
    await bench.say('order.updated', v(2));
    expect(await bench.states()).toMatchObject([{ state: 'superseded' }, { version: 2, state: 'ready' }]);
  });

  it('lets other lanes pass while one waits', async () => {
    await bench.integration();
    const other = { orderUid: '0195f0c2-0000-7000-8000-000000000002', orderNumber: '1023' };
    await bench.say('order.submitted', v(1));
    await bench.pump();
    await bench.say('order.updated', v(2), v(1, other));
    expect(await bench.pump()).toMatchObject([{ order: { orderNumber: '1023' } }]);
  });

  it('sends the newest content for an older trigger', async () => {
    await bench.integration({ triggers: ['order.submitted'] });
    await bench.say('order.updated', v(3));
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    expect(offer).toMatchObject({ trigger: 'order.submitted', order: { version: 3 } });
    expect(contentVersion(offer!)).toBe(3);
  });

  it.each(permutations(['s1', 'u2', 'u3']))(
    'ends with the newest content, whatever the order: %s %s %s',
    async (...order) => {
      await bench.integration();
      await bench.integration({ triggers: ['order.submitted'] });
      const sent = [];
      for (const step of order) {
        if (step === 's1') await bench.say('order.submitted', v(1));
        if (step === 'u2') await bench.say('order.updated', v(2));
        if (step === 'u3') await bench.say('order.updated', v(3));
      }
      sent.push(...(await bench.drain()));
      expect(sent.map(contentVersion)).toEqual([3, 3]);
      const last = await query<{ version: number; state: string }>(
        bench.dataSource,
        `SELECT DISTINCT ON (integration_id) version, state FROM dispatcher.deliveries
       ORDER BY integration_id, delivery_id DESC`,
      );
      expect(last).toEqual([
        { version: 3, state: 'succeeded' },
        { version: 3, state: 'succeeded' },
      ]);
    },
  );

  it.each(permutations(['s1', 'u2', 'c3']))(
    'delivers nothing of a cancelled order, whatever the order: %s %s %s',
    async (...order) => {
      await bench.integration();
      await bench.integration({ triggers: ['order.cancelled'] });
      for (const step of order) {
        if (step === 's1') await bench.say('order.submitted', v(1));
        if (step === 'u2') await bench.say('order.updated', v(2));
        if (step === 'c3') await bench.say('order.cancelled', cancelled(3));
      }
      const [offer, ...others] = await bench.drain();
      expect(others).toEqual([]);
      expect(offer!.files).toMatchObject([{ name: '1022_ID_6182665224482_Cancelled.json' }]);
      const [{ name, source }] = offer!.files as [OfferedFile];
      const text = source.kind === 'inline' ? source.text : 'not inline';
      expect(await bench.deliveries.readDocument('demo', offer!.deliveryId, name)).toBe(text);
      expect(await bench.deliveries.readDocument('other', offer!.deliveryId, name)).toBeUndefined();
      expect(contentVersion(offer!)).toBe(3);
    },
  );
});

describe('cancelling', () => {
  it('stops what has not gone out, also between two attempts', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(failed(first!, 'TIMEOUT'));
    await bench.say('order.cancelled', cancelled(2));
    expect(await bench.states()).toMatchObject([{ state: 'cancelled', reason: 'order-cancelled' }]);
  });

  it('gives what is in flight no further attempt, and sends the cancellation after it', async () => {
    await bench.integration({ triggers: ['order.submitted', 'order.cancelled'] });
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.say('order.cancelled', cancelled(2));
    expect(await bench.pump()).toEqual([]);
    await bench.report(failed(first!, 'TIMEOUT'));
    expect(await bench.states()).toMatchObject([
      { state: 'cancelled', reason: 'order-cancelled' },
      { trigger: 'order.cancelled', state: 'ready' },
    ]);
    const [cleaning, second] = await bench.pump();
    expect(cleaning).toMatchObject(cleaningUp(first!));
    expect(second).toMatchObject({ trigger: 'order.cancelled', files: [{ source: { kind: 'inline' } }] });
  });

  it('delivers nothing that comes after a cancel', async () => {
    await bench.integration();
    await bench.say('order.cancelled', cancelled(1));
    await bench.say('order.updated', v(2, { status: 'cancelled', reason: 'items-changed' }));
    expect(await bench.states()).toEqual([]);
  });

  it('delivers again what a platform has restored', async () => {
    await bench.integration();
    await bench.say('order.cancelled', cancelled(2));
    await bench.say('order.updated', v(3, { reason: 'restored' }));
    expect(await bench.states()).toMatchObject([{ version: 3, state: 'ready' }]);
  });
});

describe('waiting for a recipe', () => {
  it('sends one delivery once the recipe is linked', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1, { waiting: ['LATE'] }));
    expect(await bench.states()).toMatchObject([{ state: 'waiting', reason: 'recipe' }]);
    expect(await bench.pump()).toEqual([]);
    await bench.say('order.updated', v(2, { recipes: ['DRIVE-001', 'LATE'], reason: 'recipe-linked' }));
    const offers = await bench.drain();
    expect(offers).toHaveLength(1);
    expect(offers[0]!.recipeIds).toEqual(['DRIVE-001', 'LATE']);
    expect(offers[0]!.files).toHaveLength(6);
  });

  it('still makes the delivery of an integration that the linking does not trigger', async () => {
    await bench.integration({ triggers: ['order.submitted'] });
    await bench.say('order.submitted', v(1, { waiting: ['LATE'] }));
    await bench.say('order.updated', v(2, { recipes: ['DRIVE-001', 'LATE'], reason: 'recipe-linked' }));
    const [offer] = await bench.pump();
    expect(offer).toMatchObject({ trigger: 'order.submitted', order: { version: 2 } });
    expect(offer!.files).toHaveLength(6);
  });

  it('goes out with what there is when the wait is over, and then fails naming what is missing', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1, { waiting: ['LATE'] }));
    await execute(bench.dataSource, `UPDATE dispatcher.deliveries SET wait_until = now() - interval '1 s'`);
    const [first] = await bench.pump();
    expect(first).toMatchObject({ missingRecipeIds: ['LATE'], recipeIds: expect.arrayContaining(['LATE']) });
    expect(first!.files).toHaveLength(3);
    await bench.report(failed(first!, 'UNAVAILABLE'));
    const [offer] = await bench.pump();
    expect(offer?.missingRecipeIds).toEqual(['LATE']);
    await bench.report(done(offer!));
    expect(await bench.takeFinished()).toMatchObject([
      {
        topic: 'delivery.failed',
        code: 'SOURCE_UNAVAILABLE',
        message: expect.stringContaining('LATE'),
        attempts: 2,
      },
    ]);
  });

  it('fails with its reason when nothing at all has come', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1, { recipes: [], waiting: ['LATE'] }));
    await execute(bench.dataSource, `UPDATE dispatcher.deliveries SET wait_until = now() - interval '1 s'`);
    expect(await bench.pump()).toEqual([]);
    const [finished] = await bench.takeFinished();
    expect(finished).toMatchObject({ code: 'SOURCE_UNAVAILABLE', attempts: 1 });
    const details = await bench.deliveries.read(DEMO, finished!.deliveryId);
    expect(details?.attempts).toMatchObject([
      { outcome: 'failed', message: expect.stringContaining('LATE') },
    ]);
  });

  it('does not wait for a line that no longer uses the recipe', async () => {
    await bench.integration();
    const waiting = v(1, { waiting: ['LATE'] });
    const items = waiting.items.map((item) =>
      item.recipeId === 'LATE' ? { ...item, itemQuantity: 0 } : item,
    );
    await bench.say('order.submitted', { ...waiting, items });
    expect(await bench.pump()).toHaveLength(1);
  });
});

describe('silence', () => {
  it('offers again after a worker fell silent, and fails with NO_REPORT after three', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    for (let round = 1; round <= 3; round += 1) {
      const [offer] = await bench.pump();
      expect(offer).toMatchObject({ attempt: 1 });
      await bench.report(started(offer!));
      expect(await bench.reports.giveUp(45_000)).toBe(false);
      await bench.age(offer!.offerId, 46);
      expect(await bench.reports.giveUp(45_000)).toBe(true);
    }
    expect(await bench.pump()).toMatchObject([{ notAfter: '1970-01-01T00:00:00.000Z' }]);
    expect(await bench.takeFinished()).toMatchObject([{ code: 'NO_REPORT' }]);
    const [delivery] = (await bench.deliveries.list(DEMO, { limit: 50 })).items;
    const details = await bench.deliveries.read(DEMO, delivery!.deliveryId);
    expect(details?.attempts.map(({ outcome }) => outcome)).toEqual(['silent', 'silent', 'silent']);
  });

  it('names what a silent worker may have left behind to the newer version that goes out in its place', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!));
    await bench.say('order.updated', v(2));
    await bench.age(first!.offerId, 46);
    await bench.reports.giveUp(45_000);
    const [cleaning, second] = await bench.pump();
    expect(cleaning).toMatchObject({ ...cleaningUp(first!), files: first!.files });
    expect(second).toMatchObject({ order: { version: 2 }, earlierOfferIds: [first!.offerId] });
  });

  it('has somebody clean up after the silent worker of an order that was cancelled, without sending anything', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!), progress(first!, [first!.files[0]!.name]));
    await bench.say('order.cancelled', cancelled(2));
    await bench.age(first!.offerId, 46);
    await bench.reports.giveUp(45_000);
    const [cleaning, ...others] = await bench.pump();
    expect(others).toEqual([]);
    expect(cleaning).toMatchObject({
      deliveryId: first!.deliveryId,
      notAfter: '1970-01-01T00:00:00.000Z',
      files: first!.files.slice(1).map(({ name }) => ({ name })),
      earlierOfferIds: [first!.offerId],
    });
    await bench.report(done(cleaning!, { outcome: 'expired', receipts: [], startedAt: null }));
    expect(await bench.states()).toMatchObject([{ state: 'cancelled' }]);
    expect(await bench.pump()).toEqual([]);
  });

  it('takes progress for a sign of life', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.report(started(offer!));
    await bench.age(offer!.offerId, 60);
    await bench.report(progress(offer!, [offer!.files[0]!.name]));
    expect(await bench.reports.giveUp(45_000)).toBe(false);
  });

  it('does not call it silence while nobody has taken the offer, until the offer is out of date', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.age(offer!.offerId, 3_600);
    expect(await bench.reports.giveUp(45_000)).toBe(false);
    await execute(bench.dataSource, `UPDATE dispatcher.offers SET not_after = now() - interval '1 s'`);
    expect(await bench.reports.giveUp(45_000)).toBe(true);
    const [again] = await bench.pump();
    expect(again).toMatchObject({ attempt: 1, earlierOfferIds: [] });
    expect(again?.offerId).not.toBe(offer?.offerId);
  });

  it('gives the room of a silent worker to other orders after 9 s, and no more than a second window', async () => {
    await bench.integration({ limits: { window: 2, perSecond: null } });
    for (let n = 1; n <= 6; n += 1) await bench.say('order.submitted', numbered(n));
    const first = await bench.pump();
    expect(first).toHaveLength(2);
    await bench.report(...first.map(started));
    expect(await bench.pump()).toEqual([]);
    for (const { offerId } of first) await bench.age(offerId, 10);
    const second = await bench.pump();
    expect(second).toHaveLength(2);
    await bench.report(...second.map(started));
    for (const { offerId } of second) await bench.age(offerId, 10);
    expect(await bench.pump()).toEqual([]);
  });
});

describe('what a failed attempt may have left behind', () => {
  /** Connection lost in the second file: nobody could remove what was written of it. */
  async function cut(): Promise<DeliveryRequestedV1> {
    await bench.say('order.submitted', v(1));
    const [offer] = await bench.pump();
    await bench.report(
      started(offer!),
      failed(offer!, 'UNAVAILABLE', { receipts: done(offer!).receipts.slice(0, 1) }),
    );
    return offer!;
  }

  it('is named to the newer version that supersedes the retry, and cleaned up for the files which that has not', async () => {
    await bench.integration();
    const first = await cut();
    await bench.say('order.updated', v(2, { recipes: ['OTHER'] }));
    const [cleaning, second, ...others] = await bench.pump();
    expect(others).toEqual([]);
    expect(cleaning).toMatchObject({ ...cleaningUp(first), files: first.files.slice(1) });
    expect(second).toMatchObject({ order: { version: 2 }, earlierOfferIds: [first.offerId] });
    await bench.report(done(second!));

    // What has all its receipts left nothing behind.
    await bench.say('order.updated', v(3));
    const [third] = await bench.pump();
    expect(third!.earlierOfferIds).not.toContain(second!.offerId);
  });

  it('is cleaned up when the order is cancelled between two attempts', async () => {
    await bench.integration();
    const first = await cut();
    await bench.say('order.cancelled', cancelled(2));
    expect(await bench.pump()).toMatchObject([{ ...cleaningUp(first), files: first.files.slice(1) }]);
  });

  it('is cleaned up after the last attempt', async () => {
    await bench.integration();
    const offers = [await cut()];
    for (let attempt = 2; attempt <= 3; attempt += 1) {
      const [offer] = await bench.pump();
      offers.push(offer!);
      await bench.report(started(offer!), failed(offer!, 'UNAVAILABLE'));
    }
    const [cleaning, ...others] = await bench.pump();
    expect(others).toEqual([]);
    expect(cleaning).toMatchObject({ deliveryId: offers[0]!.deliveryId, notAfter: NEVER });
    expect(cleaning!.earlierOfferIds.toSorted()).toEqual(offers.map(({ offerId }) => offerId).toSorted());
  });

  it.each([
    ['cancelled', () => bench.say('order.cancelled', cancelled(2))],
    ['superseded', () => bench.say('order.updated', v(2))],
    ['disabled', (integrationId: string) => bench.change(integrationId, { status: 'disabled' })],
    ['deleted', (integrationId: string) => bench.change(integrationId, { deletes: true })],
  ] as const)('is cleaned up when a delivery that waits to be offered again is %s', async (_, end) => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(started(first!));
    await bench.age(first!.offerId, 46);
    await bench.reports.giveUp(45_000);
    expect(await bench.states()).toMatchObject([{ state: 'ready' }]);
    await end(integrationId);
    const [cleaning] = await bench.pump();
    expect(cleaning).toMatchObject(cleaningUp(first!));
  });

  it('is cleaned up when the sweep ends what slipped in while the integration was being disabled', async () => {
    await bench.integration();
    const first = await cut();
    await execute(bench.dataSource, `UPDATE dispatcher.integrations SET status = 'disabled'`);
    await bench.housekeeping.endOrphans();
    expect(await bench.pump()).toMatchObject([cleaningUp(first)]);
  });

  it('asks nobody to clean up where no attempt has begun, or none has reached the target', async () => {
    await bench.integration();
    await bench.say('order.submitted', v(1));
    const [first] = await bench.pump();
    await bench.report(done(first!, { outcome: 'expired', receipts: [], startedAt: null }));
    await bench.say('order.cancelled', cancelled(2));
    await bench.say('order.submitted', numbered(2));
    const [second] = await bench.pump();
    await bench.report(started(second!), failed(second!, 'HOST_KEY_MISMATCH'));
    expect(await bench.states()).toMatchObject([{ state: 'cancelled' }, { state: 'failed' }]);
    expect(await bench.pump()).toEqual([]);
  });
});

describe('what an integration may have under way', () => {
  it('bounds its offers by the window, and frees room with each success', async () => {
    await bench.integration({ limits: { window: 3, perSecond: null } });
    for (let n = 1; n <= 5; n += 1) await bench.say('order.submitted', numbered(n));
    const offers = await bench.pump();
    expect(offers).toHaveLength(3);
    await bench.report(done(offers[0]!));
    expect(await bench.pump()).toHaveLength(1);
  });

  it('opens a breaker after five transient failures, shows the others as waiting, and sends one probe', async () => {
    const integrationId = await bench.integration();
    for (let n = 1; n <= 8; n += 1) await bench.say('order.submitted', numbered(n));
    const offers = await bench.pump();
    await bench.report(...offers.slice(0, 5).map((offer) => failed(offer, 'UNAVAILABLE')));
    await bench.report(...offers.slice(5).map((offer) => failed(offer, 'UNAVAILABLE')));
    expect(await bench.pump()).toEqual([]);
    const waiting = await bench.deliveries.list(DEMO, { limit: 50, state: 'waiting' });
    expect(waiting.items.map(({ reason }) => reason)).toEqual(Array.from({ length: 8 }, () => 'breaker'));
    expect(await bench.deliveries.list(DEMO, { limit: 50, state: 'ready' })).toMatchObject({ items: [] });

    await execute(bench.dataSource, `UPDATE dispatcher.integration_flow SET probe_at = now()`);
    const [probe, ...others] = await bench.pump();
    expect(others).toEqual([]);
    expect(await bench.pump()).toEqual([]);
    await bench.report(done(probe!));
    expect((await bench.pump()).length).toBeGreaterThan(1);
    expect(probe!.integrationId).toBe(integrationId);
  });

  it('paces by the limit per second', async () => {
    await bench.integration({ limits: { window: 100, perSecond: 2 } });
    for (let n = 1; n <= 5; n += 1) await bench.say('order.submitted', numbered(n));
    expect(await bench.pump()).toHaveLength(2);
    expect(await bench.pump()).toEqual([]);
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.integration_flow SET tokens_at = tokens_at - interval '0.6 s'`,
    );
    expect(await bench.pump()).toHaveLength(1);
  });

  it('holds everything while it is paused, and shows why', async () => {
    const integrationId = await bench.integration();
    await bench.change(integrationId, { status: 'paused' });
    await bench.say('order.submitted', v(1));
    expect(await bench.pump()).toEqual([]);
    expect(await bench.deliveries.list(DEMO, { limit: 50 })).toMatchObject({
      items: [{ state: 'waiting', reason: 'paused' }],
    });
    await bench.change(integrationId, { status: 'enabled' });
    expect(await bench.pump()).toHaveLength(1);
  });

  it('ends what is open when it is disabled, and starts nothing any more', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', numbered(1), numbered(2));
    const [first, second] = await bench.pump();
    await bench.report(failed(first!, 'TIMEOUT'));
    await bench.change(integrationId, { status: 'disabled' });
    await bench.say('order.submitted', numbered(3));
    await bench.report(failed(second!, 'TIMEOUT'));
    expect(await bench.states()).toMatchObject([
      { state: 'cancelled', reason: 'integration-disabled' },
      { state: 'cancelled', reason: 'integration-disabled' },
    ]);
  });

  it('ends what slipped in while it was being disabled', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', v(1));
    await execute(bench.dataSource, `UPDATE dispatcher.integrations SET status = 'disabled'`);
    expect(await bench.pump()).toEqual([]);
    expect(await bench.housekeeping.endOrphans()).toBe(1);
    expect(await bench.states()).toMatchObject([{ state: 'cancelled', reason: 'integration-disabled' }]);
    expect(integrationId).toBeDefined();
  });
});

describe('several dispatchers at once', () => {
  it('offer each delivery once and respect one window together', async () => {
    await bench.integration({ limits: { window: 30, perSecond: null } });
    await bench.integration({ limits: { window: 30, perSecond: null } });
    await bench.say('order.submitted', ...Array.from({ length: 50 }, (_, n) => numbered(n + 1)));
    await Promise.all(Array.from({ length: 6 }, () => bench.offers.offer()));
    const offers = await bench.takeOffers();
    expect(new Set(offers.map(({ deliveryId }) => deliveryId)).size).toBe(offers.length);
    expect(offers).toHaveLength(60);
  });

  it('lose no turn of a lane when events, offers and reports meet', async () => {
    await bench.integration();
    const VERSIONS = 40;
    let version = 1;
    await bench.say('order.submitted', v(1));
    const sent: number[] = [];
    while (version < VERSIONS) {
      const [offer] = await bench.pump();
      version += 1;
      await Promise.all([
        bench.say('order.updated', v(version)),
        ...(offer ? [bench.report(done(offer))] : []),
        bench.offers.offer(),
        bench.offers.offer(),
      ]);
      if (offer) sent.push(contentVersion(offer)!);
      const more = await bench.takeOffers();
      sent.push(...more.map((next) => contentVersion(next)!));
      await bench.report(...more.map((next) => done(next)));
    }
    sent.push(...(await bench.drain()).map((next) => contentVersion(next)!));
    expect(sent.at(-1)).toBe(VERSIONS);
    expect(sent).toEqual(sent.toSorted((a, b) => a - b));
    const open = await query(
      bench.dataSource,
      `SELECT FROM dispatcher.deliveries WHERE state IN ('waiting', 'ready', 'in-flight', 'retrying')`,
    );
    expect(open).toEqual([]);
  });
});

describe('purge', () => {
  it('deletes finished deliveries beyond the history with all that belongs to them, and keeps open ones', async () => {
    await bench.integration();
    await bench.say('order.submitted', numbered(1), numbered(2));
    const [first] = await bench.pump();
    await bench.report(done(first!));
    await bench.housekeeping.purge();
    expect(await bench.states()).toHaveLength(2);

    // Ids carry the time of their creation.
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.handled_events SET handled_at = handled_at - interval '46 days'`,
    );
    await execute(
      bench.dataSource,
      `INSERT INTO dispatcher.deliveries (delivery_id, tenant, integration_id, integration_version, destination, trigger,
         event_id, kind, subject, lane_key, channel, order_number, recipe_ids, version, state, accepted_at, finished_at)
       SELECT '01800000-0000-7000-8000-000000000001', tenant, integration_id, 1, destination, trigger,
         '01800000-0000-7000-8000-000000000002', kind, subject, lane_key, channel, order_number, recipe_ids, 1,
         'succeeded', now(), now() - interval '401 days' FROM dispatcher.deliveries LIMIT 1`,
    );
    await execute(
      bench.dataSource,
      `INSERT INTO dispatcher.offers (offer_id, delivery_id, integration_id, integration_version, attempt, not_after,
         outcome, finished_at)
       SELECT gen_random_uuid(), delivery_id, integration_id, 1, 1, now(), 'succeeded', now()
       FROM dispatcher.deliveries WHERE delivery_id = '01800000-0000-7000-8000-000000000001'`,
    );
    await bench.housekeeping.purge();
    expect(await bench.states()).toHaveLength(2);
    const [left] = await query<{ offers: number; handled: number }>(
      bench.dataSource,
      `SELECT (SELECT count(*)::int FROM dispatcher.offers) AS offers,
              (SELECT count(*)::int FROM dispatcher.handled_events) AS handled`,
    );
    expect(left).toEqual({ offers: 2, handled: 0 });
  });
});

/** Never valid: it asks for what the earlier offer left to be removed, and for nothing else. */
function cleaningUp({ deliveryId, offerId }: DeliveryRequestedV1): Partial<DeliveryRequestedV1> {
  return { deliveryId, notAfter: NEVER, earlierOfferIds: [offerId] };
}

function numbered(n: number): OrderChangedV1 {
  const suffix = String(n).padStart(12, '0');
  return order({ orderUid: `0195f0c2-0000-7000-8000-${suffix}`, orderNumber: String(2_000 + n) });
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.filter((_, other) => other !== index)).map((rest) => [item, ...rest]),
  );
}
