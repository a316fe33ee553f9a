import { readFileSync } from 'node:fs';

import { describe, expect, it } from '@jest/globals';

import { PRODUCT_VERSION, userAgent } from './product-version.js';

describe('the version of the product', () => {
  it('is that of the package, and stands in the name that other systems see', () => {
    const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version: string };

    expect(PRODUCT_VERSION).toBe(version);
    expect(userAgent).toBe(`Heddle/${version}`);
  });
});
