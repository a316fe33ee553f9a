import { describe, expect, it } from '@jest/globals';

import { retryAfterMs } from './retry-after.js';

const NOW = Date.parse('2026-03-04T10:20:30Z');

describe('a Retry-After header', () => {
  it.each([
    ['120', 120_000],
    [' 0 ', 0],
    ['Wed, 04 Mar 2026 10:21:00 GMT', 30_000],
    ['Wed, 04 Mar 2026 10:20:00 GMT', 0],
  ])('of %j asks for a wait', (header, waitMs) => expect(retryAfterMs(header, NOW)).toBe(waitMs));

  it.each([undefined, '', 'soon', '-5', '1.5', 'Wed, nonsense', '9'.repeat(20)])(
    'of %j asks for nothing',
    (header) => expect(retryAfterMs(header, NOW)).toBeUndefined(),
  );
});
