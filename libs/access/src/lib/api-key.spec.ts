import { createHash } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { generateApiKey, isSameSecret, readApiKey } from './api-key.js';

describe('an API key', () => {
  it('is read back as what is stored of it', () => {
    const { key, keyId, secretSha256 } = generateApiKey();
    expect(readApiKey(key)).toEqual({ keyId, secretSha256 });
  });

  it('has 256 random bits, of which only the SHA-256 is kept', () => {
    const { key, secretSha256 } = generateApiKey();
    const secret = key.slice('hdl_'.length + 13);
    expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    expect(secretSha256).toEqual(createHash('sha256').update(secret).digest());
  });

  it('is never made twice', () => {
    const keys = Array.from({ length: 1_000 }, () => generateApiKey());
    expect(new Set(keys.map(({ key }) => key)).size).toBe(1_000);
    expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(1_000);
  });

  it('is compared whole', () => {
    const { secretSha256 } = generateApiKey();
    expect(isSameSecret(secretSha256, Buffer.from(secretSha256))).toBe(true);
    expect(isSameSecret(secretSha256, secretSha256.subarray(1))).toBe(false);
    expect(isSameSecret(secretSha256, generateApiKey().secretSha256)).toBe(false);
  });
});
