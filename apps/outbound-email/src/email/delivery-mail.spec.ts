import { describe, expect, it } from '@jest/globals';

import { deliveryMail } from './delivery-mail.js';
import type { MailedDelivery } from './delivery-mail.js';

const DELIVERY: MailedDelivery = {
  settings: { to: 'a@factory.example', 'subject-prefix': '' },
  trigger: 'order.updated',
  channel: 'eu',
  order: {
    orderUid: '0190a1b2-0000-7000-8000-00000000000b',
    orderNumber: '1022',
    orderId: '6182665224482',
    version: 3,
    items: [
      { itemId: '111', recipeId: 'DRIVE-001', itemQuantity: 2 },
      { itemId: '222', recipeId: 'DRIVE-002', itemQuantity: 1 },
    ],
  },
  recipeIds: ['DRIVE-001', 'DRIVE-002'],
};

describe('the mail of a delivery', () => {
  it('says in its subject what happened to which order, after the prefix', () => {
    expect(deliveryMail(DELIVERY, []).subject).toBe('Order 1022 updated');
    for (const [prefix, trigger, subject] of [
      ['[Hall 2]', 'order.submitted', '[Hall 2] Order 1022 submitted'],
      ['  ', 'order.cancelled', 'Order 1022 cancelled'],
    ] as const) {
      const settings = { ...DELIVERY.settings, 'subject-prefix': prefix };
      expect(deliveryMail({ ...DELIVERY, settings, trigger }, []).subject).toBe(subject);
    }
    const { order: _, ...feed } = DELIVERY;
    const mail = deliveryMail({ ...feed, trigger: 'recipe.created', recipeIds: ['DRIVE-001'] }, []);
    expect(mail.subject).toBe('Recipe DRIVE-001');
    expect(mail.text).toContain('Recipe DRIVE-001 was created.');
  });

  it('names the order, its lines, its recipes and its files, in both forms', () => {
    const { text, html } = deliveryMail(DELIVERY, [
      { name: 'a_Ticket.pdf', sizeBytes: 48_211, link: undefined },
      {
        name: 'a_Production-Front.tiff',
        sizeBytes: 31_400_000,
        link: 'https://hub.example/files/t/a?x=1&y=2',
      },
    ]);
    expect(text).toBe(
      [
        'Order 1022 was updated.',
        'Order number: 1022\nOrder id: 6182665224482\nShop: eu',
        'Items:\n- 2 x item 111, recipe DRIVE-001\n- 1 x item 222, recipe DRIVE-002',
        'Recipes:\n- DRIVE-001\n- DRIVE-002',
        'Attached files:\n- a_Ticket.pdf (48 kB)',
        'Files that are too large for this mail, behind links that are good for 7 days:\n' +
          '- a_Production-Front.tiff (31.4 MB)\n  https://hub.example/files/t/a?x=1&y=2\n',
      ].join('\n\n'),
    );
    for (const word of ['1022', '6182665224482', '2 x item 111, recipe DRIVE-001', 'a_Ticket.pdf (48 kB)'])
      expect(html).toContain(word);
    expect(html).toContain(
      '<li><a href="https://hub.example/files/t/a?x=1&amp;y=2">a_Production-Front.tiff (31.4 MB)</a></li>',
    );
  });

  it('says which recipes have not come', () => {
    const { text } = deliveryMail({ ...DELIVERY, missingRecipeIds: ['DRIVE-002'] }, []);
    expect(text).toContain(
      'Recipes:\n- DRIVE-001\n\nRecipes that have not come, without whose files this mail is sent:\n- DRIVE-002',
    );
    expect(deliveryMail(DELIVERY, []).text).not.toContain('not come');
  });

  it('leaves out what it does not know', () => {
    const { items: _, ...order } = DELIVERY.order!;
    const { text } = deliveryMail({ ...DELIVERY, order: { ...order, orderId: null } }, []);
    expect(text).not.toMatch(/Items|Order id|Attached|links/);
  });

  it('shows whatever an order is called as text in one line', () => {
    const orderNumber = '<b onload="x">&\u2028Bcc: x@y\u202E\u200B\'';
    const { subject, text, html } = deliveryMail(
      { ...DELIVERY, order: { ...DELIVERY.order!, orderNumber } },
      [],
    );
    expect(subject).toBe('Order <b onload="x">& Bcc: x@y\' updated');
    expect(text.split('\n')[0]).toBe('Order <b onload="x">& Bcc: x@y\' was updated.');
    expect(html).toContain('Order &lt;b onload=&quot;x&quot;&gt;&amp; Bcc: x@y&#39; was updated.');
    expect(html).not.toMatch(/<b |[\u2028\u202E\u200B]/);
  });
});
