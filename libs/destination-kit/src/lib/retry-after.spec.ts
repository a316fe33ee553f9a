import { describe, expect, it } from '@jest/globals';

import { readRetryAfter } from './retry-after.js';

describe('Retry-After', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');

  it.each([
    ['120', 120_000],
    [' 0 ', 0],
    ['Fri, 20 Nov 2026 10:01:30 GMT', 90_000],
    ['Friday, 20-Nov-26 10:01:30 GMT', 90_000],
    ['Fri Nov 20 10:01:30 2026 GMT', 90_000],
    ['Fri, 20 Nov 2026 09:00:00 GMT', 0],
  ])('asks for a wait with %s', (text, waitMs) => {
    expect(readRetryAfter(text, now)).toBe(waitMs);
  });

  it.each([
    '',
    'soon',
    '-5',
    '1.5',
    '12 s',
    '99999999999',
    '2026-11-20',
    '2026-11-20T10:01:30Z',
    'Fri, later',
  ])('asks for nothing with "%s"', (text) => {
    expect(readRetryAfter(text, now)).toBeUndefined();
  });
});
