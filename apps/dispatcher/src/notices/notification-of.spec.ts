import { describe, expect, it } from '@jest/globals';

import { notificationOf } from './notification-of.js';
import type { NoticedDelivery } from './notification-of.js';

const integration = { description: 'Hall 2', destination: 'sftp' } as const;
const timeout = {
  attempt: 1,
  at: '2026-01-01T00:00:00.000Z',
  code: 'TIMEOUT',
  message: 'writing a.dst',
} as const;

function aDelivery(change: Partial<NoticedDelivery> = {}): NoticedDelivery {
  return {
    kind: 'failed',
    deliveryId: '0190a1b2-0000-7000-8000-00000000000a',
    orderNumber: '1022',
    orderId: null,
    recipeIds: ['DRIVE-001'],
    recipeCount: 1,
    hasStopped: false,
    attempts: [timeout],
    end: timeout,
    ...change,
  };
}

describe('what a notification says', () => {
  it('names the end of a delivery where no attempt of it says the same', () => {
    const counts = { failed: 1, recovered: 0, succeeded: 0 };
    const silent = { ...timeout, attempt: 2, code: 'NO_REPORT', message: 'attempting' } as const;
    expect(notificationOf(integration, counts, [aDelivery()])).toMatchObject({
      delivery: { failures: [timeout] },
    });
    expect(notificationOf(integration, counts, [aDelivery({ end: silent })])).toMatchObject({
      delivery: { failures: [timeout, silent] },
    });
  });

  it('is a digest as soon as it is about more than one delivery, each kind by itself', () => {
    const counts = { failed: 70, recovered: 1, succeeded: 0 };
    const shown = [aDelivery(), aDelivery({ kind: 'recovered', orderNumber: null, end: null, attempts: [] })];
    expect(notificationOf(integration, counts, shown)).toMatchObject({
      kind: 'digest',
      counts,
      failed: [{ order: { orderNumber: '1022' } }],
      recovered: [{ order: null, failures: [] }],
      succeeded: [],
    });
  });
});
