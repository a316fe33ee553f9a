import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { KeyringError, KeyringSetting, parseKeyring } from './keyring.js';

const base64 = randomBytes(32).toString('base64');

describe('parseKeyring', () => {
  it('reads names and keys, the first one first', () => {
    const keyring = parseKeyring(`k1:${base64}, k0:${randomBytes(32).toString('base64url')}`);
    expect(keyring.map(({ kid }) => kid)).toEqual(['k1', 'k0']);
    expect(keyring[0].key.export()).toEqual(Buffer.from(base64, 'base64'));
  });

  it.each([
    ['', 'needs a name'],
    [base64, 'needs a name'],
    [`:${base64}`, 'needs a name'],
    [`k 1:${base64}`, 'needs a name'],
    [`k1:${base64}!`, 'not base64'],
    ['k1:c2hvcnQ=', 'has not 32 bytes'],
    [`k1:${base64},k1:${base64}`, 'the same name'],
    [`k1:${base64},`, 'key 2'],
  ])('refuses "%s" without repeating it', (text, reason) => {
    expect(() => parseKeyring(text)).toThrow(KeyringError);
    expect(() => parseKeyring(text)).toThrow(reason);
    const { error } = KeyringSetting.safeParse(text);
    expect(error?.issues[0]?.message).toContain(reason);
    expect(JSON.stringify(error?.issues)).not.toContain(base64);
  });
});
