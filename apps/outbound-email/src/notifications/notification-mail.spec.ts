import { DELIVERY_CODES, MAX_NOTIFIED, Notification } from '@heddle/contracts';
import type { NotifiedDelivery } from '@heddle/contracts';
import { describe, expect, it } from '@jest/globals';

import { notificationMail } from './notification-mail.js';

const integration = { description: 'Hall 2', destination: 'sftp' } as const;
const at = '2025-03-04T10:20:30.000Z';
const DELIVERY = '0190a1b2-0000-7000-8000-00000000000a';
const LINK = `https://hub.example/api/v2/deliveries/${DELIVERY}`;
const mailOf = (notification: Notification) =>
  notificationMail(
    Notification.parse(notification),
    (deliveryId) => `https://hub.example/api/v2/deliveries/${deliveryId}`,
  );

function aDelivery(fields: Partial<NotifiedDelivery> = {}): NotifiedDelivery {
  return {
    deliveryId: DELIVERY,
    order: { orderNumber: '1022', orderId: '6182665224482' },
    recipeIds: ['DRIVE-001', 'DRIVE-002'],
    recipeCount: 2,
    hasStopped: false,
    failures: [
      { attempt: 1, at, code: 'TIMEOUT', message: 'writing sftp://factory.example/in/a.dst' },
      { attempt: 2, at, code: 'TARGET_FULL', message: 'writing sftp://factory.example/in/b.dst' },
    ],
    ...fields,
  };
}

describe('the mail to a notification list', () => {
  it('names order, recipes, destination, the reason of each attempt and the delivery when one has failed', () => {
    const { subject, text, html } = mailOf({ kind: 'failed', integration, delivery: aDelivery() });
    expect(subject).toBe('Order 1022 could not be delivered: Hall 2');
    expect(text).toBe(
      [
        'Order 1022 could not be delivered.',
        'Integration: Hall 2\nDestination: sftp\nOrder number: 1022\nOrder id: 6182665224482',
        'Recipes:\n- DRIVE-001\n- DRIVE-002',
        'What was tried:\n' +
          `- Attempt 1, ${at}: the destination did not answer in time (writing sftp://factory.example/in/a.dst)\n` +
          `- Attempt 2, ${at}: the destination has no room left (writing sftp://factory.example/in/b.dst)`,
        'It is not tried again by itself. When the cause is mended, trigger the order again.',
        `The delivery:\n- ${LINK}\n  ${LINK}\n`,
      ].join('\n\n'),
    );
    expect(html).toContain(`<a href="${LINK}">`);
  });

  it('says that a delivery has succeeded, or has recovered from what', () => {
    const succeeded = mailOf({
      kind: 'succeeded',
      integration,
      delivery: aDelivery({ failures: [] }),
    });
    expect(succeeded.subject).toBe('Order 1022 has been delivered: Hall 2');
    expect(succeeded.text).not.toMatch(/tried|failed/);
    const recovered = mailOf({ kind: 'recovered', integration, delivery: aDelivery() });
    expect(recovered.subject).toBe('Order 1022 has been delivered after all: Hall 2');
    expect(recovered.text).toMatch(/What had failed before:\n- Attempt 1/);
    expect(recovered.text).not.toContain('not tried again');
  });

  it('speaks of the recipe where there is no order, and of the destination where there is no description', () => {
    const delivery = aDelivery({ order: null, recipeIds: ['DRIVE-001'], recipeCount: 1 });
    const { subject } = mailOf({
      kind: 'failed',
      integration: { description: ' ', destination: 's3' },
      delivery,
    });
    expect(subject).toBe('Recipe DRIVE-001 could not be delivered: s3');
  });

  it('joins a burst into one digest that counts all and shows the first of them', () => {
    const failed = Array.from({ length: MAX_NOTIFIED }, (_, n) =>
      aDelivery({ order: { orderNumber: String(2_000 + n), orderId: null } }),
    );
    const { subject, text } = mailOf({
      kind: 'digest',
      integration,
      counts: { failed: 57, recovered: 1, succeeded: 0 },
      failed,
      recovered: [aDelivery()],
      succeeded: [],
    });
    expect(subject).toBe('57 failed, 1 recovered: Hall 2');
    expect(text).toContain(
      '- Order 2000: the destination has no room left (writing sftp://factory.example/in/b.dst)',
    );
    expect(text).toContain('- Order 2049:');
    expect(text).not.toContain('Order 2050');
    expect(text).toContain('- and 7 more');
    expect(text).toContain('Delivered after all:\n- Order 1022');
    expect(text).not.toMatch(/^Delivered:/m);
  });

  it('says that the integration is off where the destination is gone, and that more recipes are not shown', () => {
    const failures = [{ attempt: 1, at, code: 'GONE', message: '' } as const];
    const delivery = aDelivery({ failures, hasStopped: true, recipeCount: 12 });
    const { text } = mailOf({ kind: 'failed', integration, delivery });
    expect(text).toContain('does not exist any more\n');
    expect(text).toContain('the integration was disabled');
    expect(text).toContain('- DRIVE-002\n- and 10 more');
  });

  it('has plain words for every code', () => {
    for (const code of DELIVERY_CODES) {
      const failures = [{ attempt: 1, at, code, message: 'writing' }];
      const { text } = mailOf({ kind: 'failed', integration, delivery: aDelivery({ failures }) });
      expect(text).not.toContain(code);
      expect(text).toMatch(/Attempt 1, \S+: [a-z][a-z ,]+ \(writing\)/);
    }
  });
});
