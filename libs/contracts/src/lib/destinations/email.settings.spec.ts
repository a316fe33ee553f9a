import { describe, expect, it } from '@jest/globals';

import { addressesOf } from '../address-list.js';

import { EmailSettings } from './email.settings.js';

const messagesOf = (settings: unknown): readonly string[] =>
  EmailSettings.safeParse(settings).error?.issues.map(
    ({ path, message }) => `${path.join('.')}: ${message}`,
  ) ?? [];

describe('settings of an e-mail integration', () => {
  it('take one address or a list, with spaces around the commas', () => {
    expect(EmailSettings.parse({ to: 'a@b.example' })).toEqual({ to: 'a@b.example', 'subject-prefix': '' });
    expect(messagesOf({ to: ' a@b.example , c@d.example', 'subject-prefix': '[Hall 2]' })).toEqual([]);
    expect(addressesOf(' a@b.example , c@d.example')).toEqual(['a@b.example', 'c@d.example']);
  });

  it('name every bad address by its place and repeat none', () => {
    expect(messagesOf({ to: 'a@b.example,secret-word,c@d.example,' })).toEqual([
      'to: address 2 of the list is not an e-mail address',
      'to: address 4 of the list is not an e-mail address',
    ]);
    expect(messagesOf({ to: 'a@b.example\r\nBcc: x@y.example' })).toHaveLength(1);
    expect(messagesOf({ to: 'Jo <a@b.example>' })).toHaveLength(1);
  });

  it('need an address, take a hundred, and no settings or prefixes that do not fit', () => {
    expect(messagesOf({ to: ' ' })).toEqual(['to: must hold at least one address']);
    const many = (count: number): string =>
      Array.from({ length: count }, (_, n) => `a${String(n)}@b.example`).join(',');
    expect(messagesOf({ to: many(100) })).toEqual([]);
    expect(messagesOf({ to: many(101) })).toEqual(['to: must hold at most 100 addresses']);
    expect(messagesOf({ to: 'a@b.example', 'subject-prefix': 'x\r\ny' })).toHaveLength(1);
    expect(messagesOf({ to: 'a@b.example', cc: 'x@y.example' })).toHaveLength(1);
    expect(messagesOf({})).toHaveLength(1);
  });
});
