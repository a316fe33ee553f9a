import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { ATTEMPT_OUTCOMES, DELIVERY_CODES, RETRYABLE } from '@heddle/contracts';

import { MAX_RETRY_AFTER_MS, afterOffer, retryDelayMs } from './attempt-end.js';
import type { Attempted, OfferEnded } from './attempt-end.js';

const policy = { delaysMs: [60_000, 300_000] };
const first: Attempted = { attempts: 0, silences: 0, stopReason: null, isComplete: false, missing: [] };
const failure = (code: (typeof DELIVERY_CODES)[number]): OfferEnded => ({
  outcome: 'failed',
  code,
  message: 'writing: refused',
  retryAfterMs: null,
});
const success: OfferEnded = { outcome: 'succeeded', code: null, message: null, retryAfterMs: null };

describe('the end of an attempt', () => {
  it('makes three attempts at most, and only of what may mend itself', () => {
    for (const code of DELIVERY_CODES) {
      let attempts = 0;
      let state = 'ready';
      while (state !== 'failed') {
        const step = afterOffer({ ...first, attempts }, failure(code), policy, 0.5);
        ({ attempts, state } = step);
      }
      expect([code, attempts]).toEqual([code, RETRYABLE[code] ? 3 : 1]);
    }
  });

  it('succeeds only when every file has its receipt', () => {
    expect(afterOffer({ ...first, isComplete: true }, success, policy, 0)).toMatchObject({
      state: 'succeeded',
    });
    expect(afterOffer(first, success, policy, 0)).toMatchObject({ state: 'retrying', code: 'UNKNOWN' });
    expect(afterOffer({ ...first, isComplete: true }, failure('TIMEOUT'), policy, 0)).toMatchObject({
      state: 'succeeded',
    });
  });

  it('fails for good after sending what there was, naming the recipes that never came', () => {
    const step = afterOffer({ ...first, isComplete: true, missing: ['A', 'B'] }, success, policy, 0);
    expect(step).toMatchObject({ state: 'failed', attempts: 1, message: expect.stringContaining('A, B') });
  });

  it('ends a delivery that has been superseded or cancelled in place of a retry, and only then', () => {
    const stopped = { ...first, stopReason: 'order-cancelled' as const };
    expect(afterOffer(stopped, failure('TIMEOUT'), policy, 0)).toMatchObject({
      state: 'cancelled',
      reason: 'order-cancelled',
    });
    expect(afterOffer({ ...stopped, isComplete: true }, success, policy, 0)).toMatchObject({
      state: 'succeeded',
    });
    expect(afterOffer(stopped, failure('REJECTED'), policy, 0)).toMatchObject({ state: 'failed' });
    for (const outcome of ['released', 'expired', 'silent'] as const) {
      expect(afterOffer(stopped, { ...success, outcome }, policy, 0)).toMatchObject({ state: 'cancelled' });
    }
  });

  it('spends no attempt on an offer that was given back, or whose worker fell silent', () => {
    for (const outcome of ['released', 'expired', 'silent'] as const)
      expect(afterOffer(first, { ...success, outcome }, policy, 0)).toMatchObject({
        state: 'ready',
        attempts: 0,
      });
  });

  it('takes the third silence in a row for an answer', () => {
    const step = afterOffer({ ...first, silences: 2 }, { ...success, outcome: 'silent' }, policy, 0);
    expect(step).toMatchObject({ state: 'failed', code: 'NO_REPORT' });
  });

  it('never takes attempts back, whatever is reported', () => {
    fc.assert(
      fc.property(
        fc.record({
          attempts: fc.integer({ min: 0, max: 3 }),
          silences: fc.integer({ min: 0, max: 2 }),
          stopReason: fc.constantFrom(null, 'newer-version' as const, 'integration-disabled' as const),
          isComplete: fc.boolean(),
          missing: fc.array(fc.string(), { maxLength: 2 }),
        }),
        fc.constantFrom(...ATTEMPT_OUTCOMES, 'silent' as const),
        fc.option(fc.constantFrom(...DELIVERY_CODES)),
        (delivery, outcome, code) => {
          const end = { outcome, code, message: null, retryAfterMs: null };
          const step = afterOffer(delivery, end, policy, 0.5);
          expect(step.attempts - delivery.attempts).toBeGreaterThanOrEqual(0);
          expect(step.attempts - delivery.attempts).toBeLessThanOrEqual(1);
          if (step.state === 'retrying') expect(step.attempts).toBeLessThanOrEqual(policy.delaysMs.length);
        },
      ),
    );
  });
});

describe('the wait before a retry', () => {
  it('is spread by 15 %, and honours what the target asked for up to an hour', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3_600_000 }),
        fc.option(fc.integer({ min: 0, max: 100_000_000 })),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (waitMs, retryAfterMs, random) => {
          const delay = retryDelayMs(waitMs, retryAfterMs, random);
          const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
          expect(delay).toBeGreaterThanOrEqual(Math.max(Math.floor(waitMs * 0.85), asked));
          expect(delay).toBeLessThanOrEqual(Math.max(Math.ceil(waitMs * 1.15), asked));
        },
      ),
    );
  });
});
