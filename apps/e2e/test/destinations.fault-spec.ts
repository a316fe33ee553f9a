import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { DeliveryPage } from '@heddle/contracts';
import type { DestinationKind } from '@heddle/contracts';
import { Heddle, createIntegration, eventually, startKafka, startPostgres } from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { OrderDesk, filesOf } from '../src/order-desk.js';
import { TARGET_FAULTS, startTargets } from '../src/targets.js';
import type { Target } from '../src/targets.js';

const RECIPE = '1-TARGETS';
const WITHIN = { withinMs: 60_000, everyMs: 100 };

/** Deliveries of one order, by destination. */
type Deliveries = ReadonlyMap<DestinationKind, { readonly state: string; readonly code: string | null }>;

describe('five destinations in trouble at the same time', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let targets: readonly Target[];
  let heddle: Heddle;
  let desk: OrderDesk;
  const integrations = new Map<DestinationKind, string>();

  beforeAll(async () => {
    [kafka, postgres, targets] = await Promise.all([startKafka(), startPostgres(), startTargets()]);
    heddle = await Heddle.start({
      kafkaBrokers: kafka.brokers,
      databaseUrl: postgres.url,
      workers: targets.map(({ kind }) => kind),
      workerEnv: Object.fromEntries(targets.map(({ kind, workerEnv = {} }) => [kind, workerEnv])),
      allowedAddresses: targets.map(({ port }) => `127.0.0.1/32:${String(port)}`),
      // The first retry comes when all five have failed once and are mended.
      env: { SILENCE_TIMEOUT_MS: '1500', SILENCE_MS: '4000', RETRY_DELAYS_MS: '8000,8000' },
    });
    desk = new OrderDesk(heddle);
    for (const { kind, settings } of targets) {
      const { integrationId } = await createIntegration(heddle.admin, {
        destination: kind,
        description: kind,
        settings,
        include: { ticket: false },
      });
      integrations.set(kind, integrationId);
    }
    await desk.saveRecipe(RECIPE);
  }, 120_000);
  afterAll(async () => {
    await heddle.stop();
    await Promise.all(targets.map((target) => target.close()));
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  async function deliveriesOf(orderNumber: string): Promise<Deliveries> {
    const page = await heddle.client.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`);
    return new Map(DeliveryPage.parse(page).items.map(({ destination, ...rest }) => [destination, rest]));
  }

  const everyKind = (state: string): ReadonlyMap<DestinationKind, unknown> =>
    new Map(targets.map(({ kind }) => [kind, expect.objectContaining({ state })]));

  /** Each file with its bytes, none under another name; mails and calls at least once, and all of them the same. */
  async function expectArrived(orderNumber: string): Promise<void> {
    const names = filesOf({ orderNumber, recipeId: RECIPE });
    for (const target of targets) {
      const { kind } = target;
      const arrivals = await target.arrived(orderNumber);
      expect([kind, arrivals.length > 0]).toEqual([kind, true]);
      expect([kind, new Set(arrivals.map(({ id }) => id)).size]).toEqual([kind, 1]);
      for (const { files } of arrivals) {
        expect([kind, [...files.keys()].sort()]).toEqual([kind, names]);
        const stitches = files.get(names[0] ?? '');
        if (stitches !== undefined) expect([kind, stitches]).toEqual([kind, `stitches of ${RECIPE}`]);
      }
    }
  }

  it.each(TARGET_FAULTS)(
    'get everything once they are no longer %s',
    async (fault) => {
      const orderNumber = `T-${fault}`;
      for (const target of targets) target.fault(fault);
      await desk.post({ orderNumber, recipeId: RECIPE });
      await eventually(
        async () => expect(await deliveriesOf(orderNumber)).toEqual(everyKind('retrying')),
        WITHIN,
      );
      const codes = new Set([...(await deliveriesOf(orderNumber)).values()].map(({ code }) => code));
      if (fault === 'full') expect([...codes]).toEqual(['TARGET_FULL']);
      if (fault === 'hung') expect([...codes]).toEqual(['TIMEOUT']);

      for (const target of targets) target.fault(undefined);

      await eventually(
        async () => expect(await deliveriesOf(orderNumber)).toEqual(everyKind('succeeded')),
        WITHIN,
      );
      await expectArrived(orderNumber);
    },
    90_000,
  );

  it('get everything when every worker is killed in the middle of its attempt', async () => {
    const orderNumber = 'T-killed';
    for (const target of targets) target.fault('hung');
    await desk.post({ orderNumber, recipeId: RECIPE });
    await eventually(
      async () => expect(await deliveriesOf(orderNumber)).toEqual(everyKind('in-flight')),
      WITHIN,
    );
    const received = async (kind: DestinationKind): Promise<number> =>
      (await targets.find((target) => target.kind === kind)?.arrived(orderNumber))?.length ?? 0;
    // Received and never answered: these come again.
    await eventually(
      async () => expect([await received('email'), await received('zapier')]).toEqual([1, 1]),
      WITHIN,
    );
    for (const { kind } of targets) heddle.service(`outbound-${kind}`).signal('SIGKILL');
    for (const target of targets) target.fault(undefined);

    await eventually(
      async () => expect(await deliveriesOf(orderNumber)).toEqual(everyKind('succeeded')),
      WITHIN,
    );
    await expectArrived(orderNumber);
    expect([await received('email'), await received('zapier')]).toEqual([2, 2]);
    expect(await new HubData(heddle).deadLetters()).toEqual([]);
  }, 90_000);

  it('are told of by a mail although its worker is killed while it sends it', async () => {
    const orderNumber = 'T-told';
    const integrationId = integrations.get('sftp') ?? '';
    const list = { 'success-notification-list': 'office@factory.example' };
    await heddle.admin.expect('PATCH', `/api/v2/integrations/${integrationId}`, list);
    const mailbox = targets.find(({ kind }) => kind === 'email');
    const told = (): readonly string[] =>
      (mailbox?.mails?.() ?? [])
        .filter(({ subject }) => subject.startsWith(`Order ${orderNumber} has been delivered`))
        .map(({ id }) => id);
    mailbox?.fault('hung');
    await desk.post({ orderNumber, recipeId: RECIPE });
    // The mailbox has it, and the worker does not know.
    await eventually(() => expect(told()).toHaveLength(1), WITHIN);
    heddle.service('outbound-email').signal('SIGKILL');
    mailbox?.fault(undefined);

    await eventually(async () => {
      const path = `/api/v2/deliveries?notifies=${integrationId}`;
      const { items } = DeliveryPage.parse(await heddle.client.expect('GET', path));
      expect(items).toMatchObject([{ state: 'succeeded', notification: { kind: 'succeeded' } }]);
    }, WITHIN);
    expect(new Set(told()).size).toBe(1);
    expect(told()).toHaveLength(2);
    await eventually(
      async () => expect(await deliveriesOf(orderNumber)).toEqual(everyKind('succeeded')),
      WITHIN,
    );
    await expectArrived(orderNumber);
  }, 90_000);
});
