import { describe, expect, it } from '@jest/globals';

import { MAX_NOTIFIED, Notification, TriggerRequest } from '@heddle/contracts';
import type { DeliveryRequestedV1 } from '@heddle/contracts';
import { execute, inTransaction, query } from '@heddle/persistence';

import { SETTINGS_FIELD } from '../src/offers/sealed-settings.js';

import { TENANT, done, failed, order, started, suiteBench } from './harness.js';
import type { Bench, IntegrationInput } from './harness.js';

const FAILURES = 'ops@factory.example';
const SUCCESSES = 'office@factory.example, hall-2@factory.example';
const ADMIN = { tenant: TENANT, channel: undefined };

let bench: Bench;
suiteBench((opened) => (bench = opened));

const orderOf = (number: number, version = 1, change: Parameters<typeof order>[0] = {}) =>
  order({
    orderUid: `0195f0c2-0000-7000-8000-${String(number).padStart(12, '0')}`,
    orderNumber: String(number),
    orderId: null,
    version,
    ...change,
  });
const say = (...numbers: readonly number[]) =>
  bench.say('order.submitted', ...numbers.map((number) => orderOf(number)));

const WIDE = { limits: { window: 500, perSecond: null } };

/** What the pump offers: deliveries, and apart from them mails to notification lists. */
async function offered(): Promise<{
  readonly files: readonly DeliveryRequestedV1[];
  readonly mails: readonly DeliveryRequestedV1[];
}> {
  const offers = await bench.pump();
  const isMail = (offer: DeliveryRequestedV1): boolean =>
    offer.files.some(({ kind }) => kind === 'notification');
  return { files: offers.filter((offer) => !isMail(offer)), mails: offers.filter(isMail) };
}

/** Attempts of everything that is ready until nothing is left that may be tried again. */
async function failAll(code: 'TIMEOUT' | 'REJECTED' | 'GONE' = 'REJECTED'): Promise<void> {
  for (;;) {
    const { files } = await offered();
    if (files.length === 0) return;
    await bench.report(...files.flatMap((offer) => [started(offer), failed(offer, code)]));
  }
}

function saidBy(offer: DeliveryRequestedV1): Notification {
  const source = offer.files[0]?.source;
  if (source?.kind !== 'inline') throw new TypeError('a notification travels in its offer');
  return Notification.parse(JSON.parse(source.text));
}

function recipientsOf({ tenant, integrationId, sealedSettings }: DeliveryRequestedV1): unknown {
  return JSON.parse(bench.sealer.open(sealedSettings, { tenant, integrationId, field: SETTINGS_FIELD }));
}

/** One look for what is to be told, and the mails that follow from it. */
async function mails(): Promise<readonly DeliveryRequestedV1[]> {
  await bench.notices.notify();
  return (await offered()).mails;
}

const said = async (): Promise<readonly Notification[]> => (await mails()).map(saidBy);

/** Moves every window, and what was noticed in it, into the past. */
async function pass(seconds: number): Promise<void> {
  await execute(
    bench.dataSource,
    'UPDATE dispatcher.notice_windows SET opened_at = opened_at - make_interval(secs => $1)',
    [seconds],
  );
  await execute(
    bench.dataSource,
    'UPDATE dispatcher.notices SET created_at = created_at - make_interval(secs => $1)',
    [seconds],
  );
}

const noticed = async (): Promise<number> => {
  const [row] = await query<{ count: number }>(
    bench.dataSource,
    'SELECT count(*)::int AS count FROM dispatcher.notices',
  );
  return row?.count ?? 0;
};

describe('notifications', () => {
  it('tell the failure list of the last failed attempt alone, with every reason before it', async () => {
    const about = await bench.integration({ failureList: FAILURES });
    await say(1022);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(await noticed()).toBe(0);
      const [offer] = (await offered()).files;
      await bench.report(
        started(offer!),
        failed(offer!, 'TIMEOUT', { message: `writing: try ${String(attempt)}` }),
      );
    }

    const [mail, ...more] = await mails();

    expect(more).toEqual([]);
    const [delivery] = (await bench.deliveries.list(ADMIN, { limit: 10, state: 'failed' })).items;
    expect(saidBy(mail!)).toEqual({
      kind: 'failed',
      integration: { description: 'hall 2', destination: 'sftp' },
      delivery: {
        deliveryId: delivery?.deliveryId,
        order: { orderNumber: '1022', orderId: null },
        recipeIds: ['DRIVE-001'],
        recipeCount: 1,
        hasStopped: false,
        failures: [1, 2, 3].map((attempt) => ({
          attempt,
          at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          code: 'TIMEOUT',
          message: `writing: try ${String(attempt)}`,
        })),
      },
    });
    expect(recipientsOf(mail!)).toEqual({ to: FAILURES, 'subject-prefix': '' });
    expect(JSON.stringify(mail)).not.toContain(FAILURES);
    expect(await said()).toEqual([]);
    expect((await bench.deliveries.list(ADMIN, { limit: 10, notifies: about })).items).toMatchObject([
      {
        deliveryId: mail?.deliveryId,
        destination: 'email',
        state: 'in-flight',
        notification: { integrationId: about, kind: 'failed' },
      },
    ]);
  });

  it('tell of a worker that was never heard of again', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    for (let silence = 1; silence <= 3; silence += 1) {
      const [offer] = (await offered()).files;
      await bench.report(started(offer!));
      await bench.age(offer!.offerId, 60);
      await bench.reports.giveUp(45_000);
    }
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { failures: [{ code: 'NO_REPORT' }] } }]);
  });

  it('tell of recipes that did not come', async () => {
    await bench.integration({ failureList: FAILURES });
    await bench.say('order.submitted', orderOf(1022, 1, { recipes: [], waiting: ['DRIVE-LATE'] }));
    await execute(bench.dataSource, `UPDATE dispatcher.deliveries SET wait_until = now()`);
    await bench.pump();
    expect(await said()).toMatchObject([
      { kind: 'failed', delivery: { failures: [{ code: 'SOURCE_UNAVAILABLE', attempt: 1 }] } },
    ]);
  });

  it('say once that the integration was disabled, where the target is gone', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1, 2);
    await failAll('GONE');
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { hasStopped: true } }]);
    await pass(61);
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { hasStopped: false } }]);
  });

  it('tell the success list of what was delivered, but not where that was a mail itself', async () => {
    await bench.integration({ successList: SUCCESSES });
    await bench.integration({ successList: SUCCESSES, failureList: FAILURES, destination: 'email' });
    await say(1022);
    const { files } = await offered();
    expect(files).toHaveLength(2);
    await bench.report(...files.flatMap((offer) => [started(offer), done(offer)]));

    const [mail, ...more] = await mails();

    expect(more).toEqual([]);
    expect(saidBy(mail!)).toMatchObject({ kind: 'succeeded', delivery: { failures: [] } });
    expect(recipientsOf(mail!)).toMatchObject({ to: SUCCESSES });
  });

  it('say that a delivery has recovered, once, and only where its failure was told', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    await failAll('TIMEOUT');
    await said();
    await pass(61);

    const caller = { tenant: TENANT, actor: 'key:test', permissions: ['admin'], channel: undefined } as const;
    await bench.triggers.trigger(caller, {
      request: TriggerRequest.parse({ orderNumber: '1022' }),
      idempotencyKey: undefined,
    });
    const { files } = await offered();
    await bench.report(...files.flatMap((offer) => [started(offer), done(offer)]));
    expect(await said()).toMatchObject([
      {
        kind: 'recovered',
        delivery: { order: { orderNumber: '1022' }, failures: Array(3).fill({ code: 'TIMEOUT' }) },
      },
    ]);

    await bench.say('order.updated', orderOf(1022, 2));
    await say(1023);
    const next = await offered();
    await bench.report(...next.files.flatMap((offer) => [started(offer), done(offer)]));
    await pass(61);
    expect(await said()).toEqual([]);
  });

  it('say to the success list as well that a delivery has recovered, whoever was told of its failure', async () => {
    const integrationId = await bench.integration({ successList: SUCCESSES, ...WIDE });
    await say(1022);
    await failAll('TIMEOUT');
    expect(await noticed()).toBe(0);
    const succeed = async (): Promise<void> => {
      const { files } = await offered();
      await bench.report(...files.flatMap((offer) => [started(offer), done(offer)]));
    };
    const caller = { tenant: TENANT, actor: 'key:test', permissions: ['admin'], channel: undefined } as const;
    await bench.triggers.trigger(caller, {
      request: TriggerRequest.parse({ orderNumber: '1022' }),
      idempotencyKey: undefined,
    });
    await succeed();
    expect(await said()).toMatchObject([
      {
        kind: 'recovered',
        delivery: { order: { orderNumber: '1022' }, failures: Array(3).fill({ code: 'TIMEOUT' }) },
      },
    ]);

    await bench.say('order.updated', orderOf(1022, 2));
    await say(1023);
    await succeed();
    await pass(61);
    expect(await said()).toMatchObject([
      {
        kind: 'digest',
        counts: { failed: 0, recovered: 0, succeeded: 2 },
        integration: { destination: 'sftp' },
      },
    ]);
    expect((await bench.deliveries.list(ADMIN, { limit: 10, notifies: integrationId })).items).toHaveLength(
      2,
    );
  });

  it('join what comes within the window after the first mail into one digest', async () => {
    await bench.integration({ failureList: FAILURES, ...WIDE });
    await say(1, 2, 3, 4);
    await failAll();
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { order: { orderNumber: '1' } } }]);
    await say(5);
    await failAll();
    expect(await said()).toEqual([]);

    await pass(61);
    const [digest, ...more] = await said();

    expect(more).toEqual([]);
    expect(digest).toMatchObject({
      kind: 'digest',
      counts: { failed: 4, recovered: 0, succeeded: 0 },
      failed: ['2', '3', '4', '5'].map((orderNumber) => ({ order: { orderNumber } })),
    });
    await say(6);
    await failAll();
    expect(await said()).toEqual([]);
    await pass(61);
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { order: { orderNumber: '6' } } }]);
    await pass(120);
    await say(7, 8);
    await failAll();
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { order: { orderNumber: '7' } } }]);
  });

  it('count all of a large burst and show the first of it', async () => {
    await bench.integration({ failureList: FAILURES, ...WIDE });
    await say(...Array.from({ length: MAX_NOTIFIED + 8 }, (_, index) => index + 1));
    await failAll();
    await said();
    await pass(61);
    const [digest] = await said();
    if (digest?.kind !== 'digest') throw new TypeError('a burst is told by a digest');
    expect([digest.counts.failed, digest.failed.length]).toEqual([MAX_NOTIFIED + 7, MAX_NOTIFIED]);
  });

  it('tell each notice once, whoever dies when and however many look for it', async () => {
    const [one, two] = [
      await bench.integration({ failureList: FAILURES, ...WIDE }),
      await bench.integration({ failureList: FAILURES, ...WIDE }),
    ];
    await say(1, 2, 3);
    await failAll();
    // Noticed, and the dispatcher dies before it tells: another one finds the rows.
    await Promise.all(Array.from({ length: 6 }, () => bench.notices.notify()));
    await pass(61);
    await Promise.all(Array.from({ length: 6 }, () => bench.notices.notify()));

    const { mails: found } = await offered();
    expect(found.map((mail) => saidBy(mail).kind).toSorted()).toEqual([
      'digest',
      'digest',
      'failed',
      'failed',
    ]);
    const senders = new Set(found.map(({ integrationId }) => integrationId));
    expect([senders.size, senders.has(one), senders.has(two)]).toEqual([1, false, false]);
    const rows = await query<{ settled: number; told: number }>(
      bench.dataSource,
      `SELECT count(settled_at)::int AS settled, count(DISTINCT notification_id)::int AS told FROM dispatcher.notices`,
    );
    expect(rows).toEqual([{ settled: 6, told: 4 }]);
  });

  it('of a list that one dispatcher is at are left to it by the others', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    await failAll();
    await inTransaction(bench.dataSource, async (tx) => {
      await tx.query('SELECT FROM dispatcher.notice_windows FOR UPDATE');
      expect((await bench.notices.notify()).made).toEqual([]);
    });
    expect((await bench.notices.notify()).made).toHaveLength(1);
  });

  it('leave no half of themselves behind when their transaction breaks', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    await failAll();
    await execute(
      bench.dataSource,
      `ALTER TABLE dispatcher.delivery_files ADD CONSTRAINT broken CHECK (kind <> 'notification') NOT VALID`,
    );
    await expect(bench.notices.notify()).rejects.toThrow();
    await execute(bench.dataSource, 'ALTER TABLE dispatcher.delivery_files DROP CONSTRAINT broken');
    expect(await said()).toMatchObject([{ kind: 'failed' }]);
  });

  it('keep nobody waiting for one that cannot be put together', async () => {
    const [broken, whole] = [
      await bench.integration({ failureList: FAILURES }),
      await bench.integration({ failureList: FAILURES }),
    ];
    await say(1022);
    await failAll();
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.deliveries SET order_number = '' WHERE integration_id = $1`,
      [broken],
    );
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { order: { orderNumber: '1022' } } }]);
    expect((await bench.deliveries.list(ADMIN, { limit: 10, notifies: whole })).items).toHaveLength(1);
    expect(await said()).toEqual([]);
  });

  it('are not lost where they cannot be put together: they are tried again, and join the next ones', async () => {
    const broken = await bench.integration({ failureList: FAILURES });
    const name = async (from: string, to: string): Promise<unknown> =>
      await execute(
        bench.dataSource,
        'UPDATE dispatcher.deliveries SET order_number = $3 WHERE integration_id = $1 AND order_number = $2',
        [broken, from, to],
      );
    await say(1022);
    await failAll();
    await name('1022', '');
    expect(await said()).toEqual([]);
    // At most once in a window, however often anybody looks.
    await name('', '1022');
    expect(await said()).toEqual([]);
    await pass(61);
    expect(await said()).toMatchObject([{ kind: 'failed', delivery: { order: { orderNumber: '1022' } } }]);

    await say(1, 2);
    await failAll();
    await name('1', '');
    await pass(61);
    expect(await said()).toMatchObject([
      { kind: 'digest', counts: { failed: 2 }, failed: [{ order: { orderNumber: '2' } }] },
    ]);
    await pass(61);
    expect(await said()).toEqual([]);
  });

  it('are not about notifications: the failure of a mail is shown, and tells nobody', async () => {
    await bench.integration({ failureList: FAILURES, successList: SUCCESSES });
    await say(1022);
    await failAll();
    const [mail] = await mails();
    await bench.takeFinished();
    await bench.report(started(mail!), failed(mail!, 'REJECTED'));
    await pass(61);

    expect([await noticed(), await said(), await bench.takeFinished()]).toEqual([1, [], []]);
    expect((await bench.deliveries.list(ADMIN, { limit: 10, destination: 'email' })).items).toMatchObject([
      { state: 'failed', code: 'REJECTED' },
    ]);
  });

  it('are tried again like any other delivery, and proven', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    await failAll();
    const [mail] = await mails();
    await bench.report(started(mail!), failed(mail!, 'UNAVAILABLE'));
    const [again] = (await offered()).mails;
    expect(again).toMatchObject({ deliveryId: mail?.deliveryId, attempt: 2 });
    expect([saidBy(again!), recipientsOf(again!)]).toEqual([saidBy(mail!), recipientsOf(mail!)]);
    await bench.report(started(again!), done(again!));
    expect(await bench.deliveries.read(ADMIN, mail!.deliveryId)).toMatchObject({
      state: 'succeeded',
      files: [{ name: 'notification.json', kind: 'notification', state: 'delivered' }],
    });
  });

  it('are not written down where a list is empty, nor sent where it is empty by then', async () => {
    await bench.integration({ failureList: ' ' });
    await say(1022);
    await failAll();
    expect(await noticed()).toBe(0);

    await bench.integration({ failureList: FAILURES });
    await say(1023);
    await failAll();
    await execute(bench.dataSource, `UPDATE dispatcher.integration_versions SET failure_list = ''`);
    expect([await noticed(), await said(), await said()]).toEqual([1, [], []]);
  });

  it('go out although what they are about is held up by a breaker, or paused', async () => {
    const integrationId = await bench.integration({ failureList: FAILURES });
    await say(1, 2, 3);
    await failAll('TIMEOUT');
    await bench.change(integrationId, { status: 'paused' });
    expect(await said()).toMatchObject([{ kind: 'failed' }]);
  });

  it('show to a key of one shop nothing of another shop', async () => {
    const input: IntegrationInput = { failureList: FAILURES, ...WIDE };
    await bench.integration(input);
    for (const [number, channel] of [
      [1, 'eu'],
      [2, 'eu'],
      [3, 'eu'],
    ] as const)
      await bench.say('order.submitted', orderOf(number, 1, { channel }));
    await failAll();
    await said();
    await pass(61);
    await said();
    await bench.say('order.submitted', orderOf(4, 1, { channel: 'eu' }), orderOf(5, 1, { channel: 'us' }));
    await failAll();
    await pass(61);
    await said();

    const seen = async (channel: string | undefined) =>
      (await bench.deliveries.list({ tenant: TENANT, channel }, { limit: 50, destination: 'email' })).items
        .length;
    expect([await seen('eu'), await seen('us'), await seen(undefined)]).toEqual([2, 0, 3]);
  });

  it('end with the history of what they tell', async () => {
    await bench.integration({ failureList: FAILURES });
    await say(1022);
    await failAll();
    const [mail] = await mails();
    await bench.report(started(mail!), done(mail!));
    await execute(
      bench.dataSource,
      `UPDATE dispatcher.deliveries SET finished_at = finished_at - interval '500 days'`,
    );
    await execute(
      bench.dataSource,
      `DELETE FROM dispatcher.deliveries WHERE finished_at < now() - interval '400 days'`,
    );
    const [left] = await query<{ notices: number; notifications: number }>(
      bench.dataSource,
      `SELECT (SELECT count(*)::int FROM dispatcher.notices) AS notices,
              (SELECT count(*)::int FROM dispatcher.notifications) AS notifications`,
    );
    expect(left).toEqual({ notices: 0, notifications: 0 });
  });
});
