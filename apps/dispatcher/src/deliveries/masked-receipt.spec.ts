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

  it('tells recipients apart that look the same, and counts each kind by itself', () => {
    const told = ['had pia@factory.example', 'refused pia@factory.example', 'had paul@factory.example'];
    const details = Object.fromEntries(told.map((name) => [name, '250 OK']));
    expect(maskedReceipt({ location: 'mailto:pia@factory.example', details }).details).toEqual({
      'had p***@factory.example': '250 OK',
      'refused p***@factory.example': '250 OK',
      'had p***@factory.example #2': '250 OK',
    });
  });

  it('leaves those of every other destination as they are', () => {
    const receipt = { location: 'sftp://factory.example/in/a@b/x.pdf', details: { 'a@b.example': 'c' } };
    expect(maskedReceipt(receipt)).toBe(receipt);
  });
});
