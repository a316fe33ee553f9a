import { describe, expect, it } from '@jest/globals';

import { shortReceipt } from './short-receipt.js';

const receipt = { name: 'a.txt', sizeBytes: 1, sha256: 'f'.repeat(64), details: { etag: 'x' } };

describe('a short receipt', () => {
  it('proves the file at its place, and says nothing else of it', () => {
    const location = 'sftp://factory.example/in/a.txt';
    expect(shortReceipt({ ...receipt, location })).toEqual({ ...receipt, location, details: {} });
  });

  it('names whole recipients alone of a long list, and begins a long path as it is', () => {
    const address = `${'p'.repeat(60)}@factory.example`;
    const list = shortReceipt({ ...receipt, location: `mailto:${Array(100).fill(address).join(',')}` });
    expect(list.location).toBe(`mailto:${`${address},`.repeat(6)}…`);
    const path = shortReceipt({ ...receipt, location: `sftp://factory.example/${'in/'.repeat(500)}` });
    expect(path.location).toMatch(/^sftp:\/\/factory\.example\/in\/.*…$/);
    expect(path.location).toHaveLength(501);
  });
});
