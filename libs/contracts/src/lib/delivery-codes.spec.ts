import { readFileSync } from 'node:fs';

import { describe, expect, it } from '@jest/globals';

import { DELIVERY_CODES, RETRYABLE } from './delivery-codes.js';

describe('the page of error codes', () => {
  it('has exactly the codes of the contract, with their retry decision', () => {
    const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `([A-Z_]+)`\s*\| (yes|no)\s*\|/gm)].map(([, code, retried]) => [
      code,
      retried === 'yes',
    ]);

    expect(rows).toEqual(DELIVERY_CODES.map((code) => [code, RETRYABLE[code]]));
  });
});
