import { readFileSync } from 'node:fs';

import { describe, expect, it } from '@jest/globals';

import { DELIVERY_CODES, RETRYABLE, SentDeliveryCode } from './delivery-codes.js';
import { jsonSchemaOf } from './json-schema.js';

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

describe('a code that another process has sent', () => {
  it('is UNKNOWN where this release does not know it', () => {
    expect(DELIVERY_CODES.map((code) => SentDeliveryCode.parse(code))).toEqual(DELIVERY_CODES);
    expect(SentDeliveryCode.parse('OF_A_LATER_RELEASE')).toBe('UNKNOWN');
  });

  it('cannot be left out, or be something else than a code', () => {
    for (const value of [undefined, null, 5, {}])
      expect(SentDeliveryCode.safeParse(value).success).toBe(false);
  });

  it('is shown as the closed set that it is, without a default', () => {
    expect(jsonSchemaOf(SentDeliveryCode, 'output')).toEqual({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'string',
      enum: DELIVERY_CODES,
    });
  });
});
