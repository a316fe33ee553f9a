import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { DELIVERY_CODES, TRANSIENT_CODES } from '@heddle/contracts';

import { BREAKER, budgetOf, flowAfter, newFlow, refill } from './flow.js';
import type { Flow, Limits, OfferEnd } from './flow.js';

const NOW = 1_000_000;
const limits: Limits = { window: 8, perSecond: null };
const fresh = newFlow(limits, NOW);
const failure = (code: (typeof DELIVERY_CODES)[number]): OfferEnd => ({ kind: 'failed', code });

function after(flow: Flow, ...ends: readonly OfferEnd[]): Flow {
  return ends.reduce((state, end) => flowAfter(state, end, limits, NOW), flow);
}

describe('the window', () => {
  it('halves on a time-out and grows back by one a success', () => {
    const halved = after(fresh, failure('TIMEOUT'));
    expect(halved.window).toBe(4);
    expect(after(halved, { kind: 'succeeded' }).window).toBe(5);
  });

  it('gives way to a worker without room, and does not grow again at once', () => {
    const held = after(fresh, { kind: 'no-room' }, { kind: 'succeeded' });
    expect(held.window).toBe(7);
    expect(flowAfter(held, { kind: 'succeeded' }, limits, NOW + 5_001).window).toBe(8);
  });

  it('stays between one and the limit, whatever happens', () => {
    const end = fc.oneof(
      fc.constant<OfferEnd>({ kind: 'succeeded' }),
      fc.constant<OfferEnd>({ kind: 'no-room' }),
      fc.constantFrom(...DELIVERY_CODES).map(failure),
    );
    fc.assert(
      fc.property(fc.array(end, { maxLength: 60 }), fc.integer({ min: 1, max: 50 }), (ends, window) => {
        let flow = newFlow({ window, perSecond: null }, NOW);
        for (const item of ends) {
          flow = flowAfter(flow, item, { window, perSecond: null }, NOW);
          expect(flow.window).toBeGreaterThanOrEqual(1);
          expect(flow.window).toBeLessThanOrEqual(window);
          expect((flow.probeAt === null) === (flow.probeWaitMs === null)).toBe(true);
        }
      }),
    );
  });

  it('counts overdue offers as room, but lets no more than a second window of them pile up', () => {
    expect(budgetOf(fresh, limits, { live: 8, all: 8 }, NOW)).toBe(0);
    expect(budgetOf(fresh, limits, { live: 0, all: 8 }, NOW)).toBe(8);
    expect(budgetOf(fresh, limits, { live: 0, all: 13 }, NOW)).toBe(3);
    expect(budgetOf(fresh, limits, { live: 0, all: 16 }, NOW)).toBe(0);
  });
});

describe('the breaker', () => {
  const five = Array.from({ length: BREAKER.failures }, () => failure('UNAVAILABLE'));

  it('opens after five transient failures in a row', () => {
    expect(after(fresh, ...five.slice(1)).probeAt).toBeNull();
    expect(after(fresh, ...five).probeAt).toBe(NOW + BREAKER.firstWaitMs);
  });

  it.each(['ACCESS_DENIED', 'NOT_FOUND', 'REJECTED'] as const)(
    'is closed by %s: the target answered',
    (code) => {
      expect(after(fresh, ...five, failure(code))).toMatchObject({ failures: 0, probeAt: null });
    },
  );

  it.each(['SOURCE_UNAVAILABLE', 'TOO_LARGE'] as const)('learns nothing of the target from %s', (code) => {
    const open = after(fresh, ...five);
    expect(after(open, failure(code))).toEqual(open);
  });

  it('lets one probe out at a time, when its wait is over', () => {
    const open = after(fresh, ...five);
    const at = NOW + BREAKER.firstWaitMs;
    expect(budgetOf(open, limits, { live: 0, all: 0 }, at - 1)).toBe(0);
    expect(budgetOf(open, limits, { live: 0, all: 0 }, at)).toBe(1);
    expect(budgetOf(open, limits, { live: 1, all: 1 }, at)).toBe(0);
  });

  it('waits longer after each probe that fails, up to a limit, and not for what was under way before', () => {
    let flow = after(fresh, ...five, failure('UNAVAILABLE'));
    expect(flow.probeWaitMs).toBe(BREAKER.firstWaitMs);
    const waits = [];
    for (let probe = 0; probe < 10; probe += 1) {
      flow = flowAfter(flow, failure('TIMEOUT'), limits, flow.probeAt!);
      waits.push(flow.probeWaitMs!);
    }
    expect(waits.slice(0, 3)).toEqual([10_000, 20_000, 40_000]);
    expect(Math.max(...waits)).toBe(BREAKER.maxWaitMs);
    expect(flowAfter(flow, { kind: 'succeeded' }, limits, NOW)).toMatchObject({ failures: 0, probeAt: null });
  });

  it('opens for exactly the codes that speak of availability', () => {
    for (const code of DELIVERY_CODES) {
      const flow = after(fresh, ...Array.from({ length: 5 }, () => failure(code)));
      expect([code, flow.probeAt !== null]).toEqual([code, TRANSIENT_CODES.has(code)]);
    }
  });
});

describe('the limit per second', () => {
  it('never lets out more than it allows in any span of time', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 500, noNaN: true }),
        fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 40 }),
        (perSecond, pauses) => {
          const paced: Limits = { window: 1_000_000, perSecond };
          let flow = newFlow(paced, NOW);
          let now = NOW;
          let sent = 0;
          for (const pause of pauses) {
            now += pause;
            flow = refill(flow, paced, now);
            const budget = budgetOf(flow, paced, { live: 0, all: 0 }, now);
            sent += budget;
            flow = { ...flow, tokens: flow.tokens - budget };
          }
          const burst = Math.max(1, perSecond);
          expect(sent).toBeLessThanOrEqual(burst + (perSecond * (now - NOW)) / 1_000 + 1e-6);
        },
      ),
    );
  });
});
