import { describe, expect, it } from '@jest/globals';

import { listAudit, query } from '@heddle/persistence';

import { failed, order, started, suiteBench } from './harness.js';
import type { Bench } from './harness.js';

let bench: Bench;
suiteBench((opened) => (bench = opened));

const orders = (count: number, from = 1) =>
  Array.from({ length: count }, (_, index) => {
    const id = String(from + index);
    return order({
      orderUid: `0195f0c2-0000-7000-8000-${id.padStart(12, '0')}`,
      orderNumber: id,
      orderId: `${id}00`,
    });
  });

async function statusOf(integrationId: string): Promise<string | undefined> {
  const [row] = await query<{ status: string }>(
    bench.dataSource,
    'SELECT status FROM dispatcher.integrations WHERE integration_id = $1',
    [integrationId],
  );
  return row?.status;
}

const entries = async () =>
  (await listAudit(bench.dataSource, 'dispatcher', { tenant: 'demo', limit: 10 })).items;

describe('a target that says that it is gone', () => {
  it('fails the delivery at once, stops its integration and leaves the others alone', async () => {
    const gone = await bench.integration({ triggers: ['order.submitted'] });
    const other = await bench.integration({ triggers: ['order.cancelled'] });
    await bench.say('order.submitted', ...orders(1));
    const [offer] = await bench.pump();

    await bench.report(started(offer!), failed(offer!, 'GONE'));

    expect(await bench.takeFinished()).toMatchObject([
      { topic: 'delivery.failed', code: 'GONE', attempts: 1 },
    ]);
    expect([await statusOf(gone), await statusOf(other)]).toEqual(['disabled', 'enabled']);
    expect(await entries()).toMatchObject([
      {
        actor: 'hub',
        action: 'integration.disabled',
        subject: `integration:${gone}`,
        details: { version: 1, code: 'GONE', deliveryId: offer!.deliveryId },
      },
    ]);
  });

  it('is sent nothing more, and what waited for it ends with the reason', async () => {
    await bench.integration({ limits: { window: 1, perSecond: null } });
    await bench.say('order.submitted', ...orders(3));
    const [offer] = await bench.pump();

    await bench.report(started(offer!), failed(offer!, 'GONE'));
    expect(await bench.pump()).toEqual([]);
    await bench.say('order.submitted', ...orders(1, 10));
    await bench.housekeeping.endOrphans();

    expect((await bench.states()).map(({ state, reason }) => [state, reason])).toEqual([
      ['failed', null],
      ['cancelled', 'integration-disabled'],
      ['cancelled', 'integration-disabled'],
    ]);
  });

  it('stops an integration that is paused, and says so once for several deliveries', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', ...orders(2));
    const offers = await bench.pump();
    await bench.change(integrationId, { status: 'paused' });

    await bench.report(...offers.flatMap((offer) => [started(offer), failed(offer, 'GONE')]));

    expect(await statusOf(integrationId)).toBe('disabled');
    expect(await entries()).toHaveLength(1);
  });

  it('stops nothing where the integration leads elsewhere by now', async () => {
    const integrationId = await bench.integration();
    await bench.say('order.submitted', ...orders(1));
    const [offer] = await bench.pump();
    await bench.change(integrationId, { version: 2, approvedVersion: 2 });

    await bench.report(started(offer!), failed(offer!, 'GONE'));

    expect(await bench.states()).toMatchObject([{ state: 'failed' }]);
    expect([await statusOf(integrationId), await entries()]).toEqual(['enabled', []]);
  });

  it('and somebody who switches the same integration off do not lock each other out', async () => {
    for (let round = 0; round < 10; round += 1) {
      const integrationId = await bench.integration({ limits: { window: 50, perSecond: null } });
      await bench.say('order.submitted', ...orders(20, 100 * (round + 1)));
      const offers = await bench.pump();
      expect(offers.length).toBeGreaterThan(4);

      await Promise.all([
        bench.report(...offers.map((offer) => failed(offer, 'GONE'))),
        bench.change(integrationId, { status: 'disabled' }),
      ]);

      expect(await statusOf(integrationId)).toBe('disabled');
      await bench.housekeeping.endOrphans();
    }
  });
});
