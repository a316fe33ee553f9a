import { describe, expect, it } from '@jest/globals';

import type { Caller } from '@heddle/access';
import { BulkTriggerRequest } from '@heddle/contracts';
import type { BulkTrigger, BulkTriggerAnswer, DeliveryRequestedV1, OrderChangedV1 } from '@heddle/contracts';
import { execute, query } from '@heddle/persistence';

import { TENANT, contentVersion, done, failed, order, recipe, suiteBench } from './harness.js';
import type { Bench } from './harness.js';

let bench: Bench;
suiteBench((opened) => (bench = opened));

const caller = (channel?: string): Caller => ({
  tenant: TENANT,
  permissions: ['deliveries:trigger'],
  actor: 'key:hand',
  channel,
});
const FAILED = { state: 'failed' };
const WIDE = { limits: { window: 1_000, perSecond: null } };

function numbered(number: number, more: Partial<OrderChangedV1> = {}): OrderChangedV1 {
  const digits = String(number).padStart(12, '0');
  return order({ orderUid: `0195f0c2-0000-7000-8000-${digits}`, orderNumber: String(number), ...more });
}

/** So many orders, each failed for good. */
async function failOrders(count: number): Promise<void> {
  await bench.say('order.submitted', ...Array.from({ length: count }, (_, index) => numbered(index + 1)));
  await failAll();
}

async function failAll(): Promise<void> {
  for (let offers = await bench.pump(); offers.length > 0; offers = await bench.pump()) await fail(offers);
}

async function fail(offers: readonly DeliveryRequestedV1[]): Promise<void> {
  await bench.report(...offers.map((offer) => failed(offer, 'HOST_KEY_MISMATCH')));
}

async function create(body: object, key?: string, channel?: string): Promise<BulkTriggerAnswer> {
  return await bench.bulks.create(caller(channel), {
    request: BulkTriggerRequest.parse(body),
    idempotencyKey: key,
  });
}

async function count(body: object, channel?: string): Promise<number> {
  return (await bench.bulks.preview(caller(channel), BulkTriggerRequest.parse(body))).count;
}

async function read(bulkId: string): Promise<BulkTrigger> {
  const found = await bench.bulks.read(caller(), bulkId);
  expect(found).toBeDefined();
  return found!;
}

/** As if so much time had passed since the last step. */
async function wait(seconds: number): Promise<void> {
  await execute(
    bench.dataSource,
    'UPDATE dispatcher.bulks SET tokens_at = clock_timestamp() - make_interval(secs => $1)',
    [seconds],
  );
}

async function runToEnd(bulkId: string): Promise<BulkTrigger> {
  for (;;) {
    await wait(1);
    await bench.bulkRunner.run();
    const bulk = await read(bulkId);
    if (bulk.state !== 'running') return bulk;
  }
}

/** Order numbers of what a bulk trigger has made, in order. */
async function made(bulkId: string): Promise<readonly string[]> {
  const rows = await query<{ number: string | null; subject: string }>(
    bench.dataSource,
    `SELECT order_number AS number, subject FROM dispatcher.deliveries WHERE trigger_id = $1 ORDER BY delivery_id`,
    [bulkId],
  );
  return rows.map(({ number, subject }) => number ?? subject);
}

describe('a bulk trigger', () => {
  it('counts first, changing nothing, and then sends everything that matches, oldest first', async () => {
    await bench.integration(WIDE);
    await failOrders(5);
    await bench.say('order.submitted', numbered(9));
    await bench.drain();
    const before = await bench.states();
    expect(await count({ ...FAILED, dryRun: true })).toBe(5);
    expect(await bench.states()).toEqual(before);

    const { bulkId, count: counted } = await create(FAILED);
    expect(counted).toBe(5);
    expect(await read(bulkId)).toMatchObject({
      state: 'running',
      count: 5,
      done: 0,
      skipped: 0,
      filter: FAILED,
      onlyMissing: false,
      perSecond: 50,
      finishedAt: null,
    });
    expect(await runToEnd(bulkId)).toMatchObject({
      state: 'done',
      done: 5,
      skipped: 0,
      finishedAt: expect.any(String),
    });
    expect(await made(bulkId)).toEqual(['1', '2', '3', '4', '5']);
    expect((await bench.drain()).map(({ order: of }) => of?.orderNumber)).toEqual(['1', '2', '3', '4', '5']);
    expect(await count({ triggerId: bulkId, state: 'succeeded' })).toBe(5);
  });

  it('does not send again what has been delivered since it failed', async () => {
    await bench.integration(WIDE);
    await failOrders(3);
    const { bulkId } = await create(FAILED);
    await runToEnd(bulkId);
    await bench.drain();

    expect(await count({ ...FAILED, dryRun: true })).toBe(0);
    expect(await runToEnd((await create(FAILED)).bulkId)).toMatchObject({ count: 0, done: 0 });
  });

  it('sends an order once, at its newest version, however many of its deliveries match', async () => {
    const [one, two] = [await bench.integration(WIDE), await bench.integration(WIDE)];
    await failOrders(2);
    await bench.say('order.updated', numbered(1, { version: 2 }));
    await fail(await bench.pump());
    await bench.say('order.updated', numbered(1, { version: 3 }));
    await failAll();

    expect(await count(FAILED)).toBe(4);
    expect(await count({ ...FAILED, integrationId: one })).toBe(2);
    const { bulkId } = await create({ ...FAILED, perSecond: 1 });
    expect(await runToEnd(bulkId)).toMatchObject({ count: 4, done: 4, skipped: 0 });
    const offers = await bench.drain();
    expect(offers.map(({ integrationId }) => integrationId).toSorted()).toEqual(
      [one, one, two, two].toSorted(),
    );
    expect(
      offers.filter(({ order: of }) => of?.orderNumber === '1').map((offer) => contentVersion(offer)),
    ).toEqual([3, 3]);
  });

  it('makes no more than its throttle allows', async () => {
    await bench.integration(WIDE);
    await failOrders(12);
    const { bulkId } = await create({ ...FAILED, perSecond: 2 });
    for (const [seconds, done] of [
      [0, 0],
      [1_000, 2],
      [0, 2],
      [1, 4],
    ] as const) {
      await wait(seconds);
      await bench.bulkRunner.run();
      expect(await read(bulkId)).toMatchObject({ state: 'running', done });
    }
  });

  it('leaves deliveries alone that were made after it', async () => {
    await bench.integration(WIDE);
    await failOrders(2);
    const { bulkId } = await create({ destination: 'sftp' });
    await bench.say('order.submitted', numbered(3));
    await fail(await bench.pump());
    expect(await runToEnd(bulkId)).toMatchObject({ count: 2, done: 2 });
    expect(await made(bulkId)).toEqual(['1', '2']);
  });

  it('is worked off once by several dispatchers together', async () => {
    await bench.integration(WIDE);
    await failOrders(40);
    const { bulkId } = await create({ ...FAILED, perSecond: 10 });
    while ((await read(bulkId)).state === 'running') {
      await wait(1);
      await Promise.all([bench.bulkRunner.run(), bench.bulkRunner.run(), bench.bulkRunner.run()]);
    }
    expect((await made(bulkId)).toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 40 }, (_, index) => String(index + 1)),
    );
    expect(await read(bulkId)).toMatchObject({ done: 40, skipped: 0 });
  });

  it('makes nothing of a step that does not come to its end, and goes on where it was', async () => {
    await bench.integration(WIDE);
    await failOrders(6);
    const { bulkId } = await create({ ...FAILED, perSecond: 2 });
    await execute(
      bench.dataSource,
      `CREATE FUNCTION dispatcher.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.done > 2 THEN RAISE EXCEPTION 'cut' USING ERRCODE = '40001'; END IF;
         RETURN NEW;
       END $$;
       CREATE TRIGGER cut BEFORE UPDATE ON dispatcher.bulks FOR EACH ROW EXECUTE FUNCTION dispatcher.cut()`,
    );
    try {
      for (let turn = 0; turn < 3; turn += 1) {
        await wait(1);
        await bench.bulkRunner.run();
      }
      expect(await made(bulkId)).toEqual(['1', '2']);
      expect(await read(bulkId)).toMatchObject({ state: 'running', done: 2 });
    } finally {
      await execute(bench.dataSource, 'DROP FUNCTION dispatcher.cut() CASCADE');
    }
    await runToEnd(bulkId);
    expect(await made(bulkId)).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('skips what can go nowhere at its turn', async () => {
    const gone = await bench.integration(WIDE);
    await bench.integration(WIDE);
    await failOrders(3);
    const { bulkId } = await create(FAILED);
    await bench.change(gone, { status: 'disabled' });
    await bench.say('order.cancelled', numbered(2, { version: 2, status: 'cancelled', reason: 'cancelled' }));
    expect(await runToEnd(bulkId)).toMatchObject({ count: 6, done: 2, skipped: 4 });
    expect(await made(bulkId)).toEqual(['1', '3']);
  });

  it('passes over what has moved on by itself', async () => {
    await bench.integration(WIDE);
    await bench.say('order.submitted', numbered(1), numbered(2));
    const { bulkId } = await create({ state: 'ready' });
    await bench.drain();
    expect(await runToEnd(bulkId)).toMatchObject({ count: 2, done: 0, skipped: 2 });
  });

  it('takes the place of what waits or retries', async () => {
    await bench.integration(WIDE);
    await bench.say('order.submitted', numbered(1), numbered(2));
    await bench.report(...(await bench.pump()).map((offer) => failed(offer, 'TIMEOUT')));
    const { bulkId } = await create({ state: 'retrying' });
    expect(await runToEnd(bulkId)).toMatchObject({ count: 2, done: 2 });
    expect((await bench.states()).map(({ state, reason }) => [state, reason])).toEqual([
      ['superseded', 'repeated'],
      ['superseded', 'repeated'],
      ['ready', null],
      ['ready', null],
    ]);
  });

  it('sends recipes of the feed as well', async () => {
    await bench.integration({ ...WIDE, triggers: ['recipe.created'] });
    await bench.recipes(recipe('DRIVE-001'), recipe('DRIVE-002'));
    await fail(await bench.pump());
    const { bulkId } = await create({ ...FAILED, recipeId: 'DRIVE-002' });
    await runToEnd(bulkId);
    expect(await made(bulkId)).toEqual(['DRIVE-002']);
  });

  it('leaves mails to notification lists alone', async () => {
    await bench.integration({ ...WIDE, failureList: 'ops@factory.example' });
    await failOrders(1);
    expect((await bench.notices.notify()).made).toHaveLength(1);
    await failAll();
    expect(await count(FAILED)).toBe(1);
    const { bulkId } = await create(FAILED);
    expect(await runToEnd(bulkId)).toMatchObject({ count: 1, done: 1, skipped: 0 });
    expect(await made(bulkId)).toEqual(['1']);
  });

  it('sends what is missing alone where that is asked', async () => {
    await bench.integration(WIDE);
    await bench.say('order.submitted', numbered(1));
    const [offer] = await bench.pump();
    const [kept, ...lost] = offer!.files.map(({ name }) => name);
    const receipts = done(offer!).receipts.filter(({ name }) => name === kept);
    await bench.report(failed(offer!, 'TOO_LARGE', { receipts }));
    const { bulkId } = await create({ ...FAILED, onlyMissing: true });
    await runToEnd(bulkId);
    const [again] = (await bench.drain()).filter(({ notAfter }) => Date.parse(notAfter) > 0);
    expect(again!.files.map(({ name }) => name)).toEqual(lost);
  });

  it('selects by time', async () => {
    await bench.integration(WIDE);
    await failOrders(1);
    const now = new Date().toISOString();
    expect(await count({ until: now })).toBe(1);
    expect(await count({ since: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z' })).toBe(0);
  });

  it('needs some filter, and takes no unknown one', () => {
    for (const body of [{}, { perSecond: 5, dryRun: true }, { colour: 'red' }, { ...FAILED, perSecond: 0 }])
      expect(BulkTriggerRequest.safeParse(body).success).toBe(false);
  });

  it('is made once for one Idempotency-Key, and keeps who asked for it', async () => {
    await bench.integration(WIDE);
    await failOrders(1);
    const answer = await create(FAILED, 'once');
    expect(await create(FAILED, 'once')).toEqual(answer);
    await expect(create({ ...FAILED, perSecond: 1 }, 'once')).rejects.toMatchObject({ status: 422 });
    expect(
      await query(
        bench.dataSource,
        'SELECT actor, action, details FROM dispatcher.audit WHERE subject = $1',
        [`trigger:${answer.bulkId}`],
      ),
    ).toEqual([
      {
        actor: 'key:hand',
        action: 'delivery.bulk-triggered',
        details: { count: 1, filter: FAILED, onlyMissing: false, perSecond: 50 },
      },
    ]);
  });
});

describe('cancelling a bulk trigger', () => {
  it('stops it for good, and leaves what it has made', async () => {
    await bench.integration(WIDE);
    await failOrders(6);
    const { bulkId } = await create({ ...FAILED, perSecond: 2 });
    await wait(1);
    await bench.bulkRunner.run();
    const stopped = await bench.bulks.cancel(caller(), bulkId);
    expect(stopped).toMatchObject({ state: 'cancelled', done: 2, finishedAt: expect.any(String) });
    expect(await bench.bulks.cancel(caller(), bulkId)).toEqual(stopped);
    await wait(5);
    await bench.bulkRunner.run();
    expect(await made(bulkId)).toEqual(['1', '2']);
    expect(await bench.drain()).toHaveLength(2);
    const audit = await query(
      bench.dataSource,
      `SELECT details FROM dispatcher.audit WHERE action = 'delivery.bulk-cancelled' AND subject = $1`,
      [`trigger:${bulkId}`],
    );
    expect(audit).toEqual([{ details: { count: 6, done: 2, skipped: 0 } }]);
  });

  it('is refused once it is done', async () => {
    await bench.integration(WIDE);
    await failOrders(1);
    const { bulkId } = await create(FAILED);
    await runToEnd(bulkId);
    await expect(bench.bulks.cancel(caller(), bulkId)).rejects.toMatchObject({ status: 409 });
  });
});

describe('a key of one channel', () => {
  it('sends the orders of that channel alone, and sees no bulk trigger of others', async () => {
    await bench.integration(WIDE);
    await failOrders(1);
    await bench.say('order.submitted', numbered(2, { channel: 'teams' }));
    await fail(await bench.pump());
    expect(await count(FAILED, 'teams')).toBe(1);
    const all = await create(FAILED);
    expect(await bench.bulks.read(caller('teams'), all.bulkId)).toBeUndefined();
    expect(await bench.bulks.cancel(caller('teams'), all.bulkId)).toBeUndefined();
    expect(await bench.bulks.read({ ...caller(), tenant: 'other' }, all.bulkId)).toBeUndefined();

    const { bulkId } = await create(FAILED, undefined, 'teams');
    expect(await bench.bulks.read(caller('teams'), bulkId)).toMatchObject({ count: 1 });
    await runToEnd(bulkId);
    expect(await made(bulkId)).toEqual(['2']);
  });
});
