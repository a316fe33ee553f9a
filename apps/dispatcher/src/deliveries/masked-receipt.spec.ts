import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { maskedReceipt } from './masked-receipt.js';

describe('a receipt for everybody', () => {
  it('shows of the recipients of a mail the domain and a first letter that is not the whole name', () => {
    expect(
      maskedReceipt({
        location: 'mailto:hall-2@factory.example,b@factory.example',
        details: {
          messageId: '<0195f0c2-0000-7000-8000-00000000dead@hub.example>',
          sentAs: 'attachment',
          'refused peter@factory.example': 'for good, the mail server answered 550',
          'refused paul@factory.example': 'for good, the mail server answered 551',
          'had hall-2@factory.example': 'from an earlier delivery',
        },
      }),
    ).toEqual({
      location: 'mailto:h***@factory.example,***@factory.example',
      details: {
        messageId: '<0195f0c2-0000-7000-8000-00000000dead@hub.example>',
        sentAs: 'attachment',
        'refused p***@factory.example': 'for good, the mail server answered 550',
        'refused p***@factory.example #2': 'for good, the mail server answered 551',
        'had h***@factory.example': 'from an earlier delivery',
      },
    });
  });

  it('tells apart as many recipients as there are that look the same', async () => {
    // Counted anew for each of them this would take a minute, and the timeout of the test comes first then.
    const recipients = Array.from({ length: 30_000 }, (_, each) => `p${String(each)}@factory.example`);
    const details = Object.fromEntries(recipients.map((address) => [`had ${address}`, address]));
    const masked = maskedReceipt({ location: 'mailto:p0@factory.example', details });
    await delay(0);
    expect(Object.keys(masked.details)).toEqual(
      recipients.map((_, each) =>
        each === 0 ? 'had p***@factory.example' : `had p***@factory.example #${String(each + 1)}`,
      ),
    );
  }, 10_000);

  it('leaves those of every other destination as they are', () => {
    const receipt = { location: 'sftp://factory.example/in/a@b/x.pdf', details: { 'a@b.example': 'c' } };
    expect(maskedReceipt(receipt)).toBe(receipt);
  });
});
