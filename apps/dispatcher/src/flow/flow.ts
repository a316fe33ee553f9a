import { TRANSIENT_CODES } from '@heddle/contracts';
import type { DeliveryCode } from '@heddle/contracts';

/** What one integration may have under way. One row, shared by all dispatchers. Instants are epoch milliseconds. */
export interface Flow {
  /** Offers open at once: halved on a time-out, growing back by one a success, up to the limit. */
  readonly window: number;
  /** The window does not grow before: a worker had no room. */
  readonly holdUntil: number | null;
  /** Transient failures in a row. */
  readonly failures: number;
  /** Breaker open: the next probe may go out then. */
  readonly probeAt: number | null;
  readonly probeWaitMs: number | null;
  /** Of the rate limit. */
  readonly tokens: number;
  readonly tokensAt: number;
}

export interface Limits {
  readonly window: number;
  readonly perSecond: number | null;
}

/** How an offer ended, as far as the flow cares. */
export type OfferEnd =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'failed'; readonly code: DeliveryCode }
  /** Given back without a try: the worker had no room. */
  | { readonly kind: 'no-room' };

export interface BreakerPolicy {
  readonly failures: number;
  readonly firstWaitMs: number;
  readonly maxWaitMs: number;
}
export const BREAKER: BreakerPolicy = { failures: 5, firstWaitMs: 5_000, maxWaitMs: 300_000 };

/** Without it a worker that is full would get, and give back, one offer per success. */
const HOLD_MS = 5_000;

/** Faults of the source or of the settings: the target was not reached, so they say nothing about it. */
const SILENT_ABOUT_TARGET: ReadonlySet<DeliveryCode> = new Set<DeliveryCode>([
  'ADDRESS_REFUSED',
  'INVALID_SETTINGS',
  'NO_REPORT',
  'SOURCE_UNAVAILABLE',
  'TOO_LARGE',
]);

export function newFlow(limits: Limits, now: number): Flow {
  return {
    window: limits.window,
    holdUntil: null,
    failures: 0,
    probeAt: null,
    probeWaitMs: null,
    tokens: limits.perSecond ?? 0,
    tokensAt: now,
  };
}

export function flowAfter(
  flow: Flow,
  end: OfferEnd,
  limits: Limits,
  now: number,
  policy: BreakerPolicy = BREAKER,
): Flow {
  switch (end.kind) {
    case 'succeeded': {
      const isHeld = flow.holdUntil !== null && now < flow.holdUntil;
      const window = isHeld ? flow.window : flow.window + 1;
      return closed({
        ...flow,
        window: clamp(window, limits),
        holdUntil: isHeld ? flow.holdUntil : null,
      });
    }
    case 'no-room':
      return { ...flow, window: clamp(flow.window - 1, limits), holdUntil: now + HOLD_MS };
    case 'failed': {
      const window = end.code === 'TIMEOUT' ? Math.floor(flow.window / 2) : flow.window;
      const narrowed = { ...flow, window: clamp(window, limits) };
      if (TRANSIENT_CODES.has(end.code)) return afterTransient(narrowed, now, policy);
      return SILENT_ABOUT_TARGET.has(end.code) ? narrowed : closed(narrowed);
    }
  }
}

export function isMoved(before: Flow, after: Flow): boolean {
  return (
    before.window !== after.window ||
    before.holdUntil !== after.holdUntil ||
    before.failures !== after.failures ||
    before.probeAt !== after.probeAt
  );
}

function afterTransient(flow: Flow, now: number, policy: BreakerPolicy): Flow {
  const failures = flow.failures + 1;
  if (failures < policy.failures) return { ...flow, failures };
  if (flow.probeAt === null) {
    return { ...flow, failures, probeAt: now + policy.firstWaitMs, probeWaitMs: policy.firstWaitMs };
  }
  // Attempts that were under way when the breaker opened are not probes.
  if (now < flow.probeAt) return { ...flow, failures };
  const probeWaitMs = Math.min((flow.probeWaitMs ?? policy.firstWaitMs) * 2, policy.maxWaitMs);
  return { ...flow, failures, probeAt: now + probeWaitMs, probeWaitMs };
}

function closed(flow: Flow): Flow {
  return { ...flow, failures: 0, probeAt: null, probeWaitMs: null };
}

function clamp(window: number, limits: Limits): number {
  return Math.max(1, Math.min(window, limits.window));
}

/** The bucket holds what one second allows, at least one. */
export function refill(flow: Flow, limits: Limits, now: number): Flow {
  if (limits.perSecond === null) return flow;
  const elapsedMs = Math.max(0, now - flow.tokensAt);
  const tokens = flow.tokens + (elapsedMs / 1_000) * limits.perSecond;
  return { ...flow, tokens: Math.min(tokens, Math.max(1, limits.perSecond)), tokensAt: now };
}

/**
 * How many offers may go out now.
 *
 * @param open.live offers whose worker is heard of, or that still wait in Kafka.
 * @param open.all including those that are overdue. They no longer take room, so that a worker that died does
 * not hold up other orders; yet no more than a second window of them may pile up, for a worker that is down
 * for a day must not find a backlog in Kafka.
 */
export function budgetOf(
  flow: Flow,
  limits: Limits,
  open: { readonly live: number; readonly all: number },
  now: number,
): number {
  if (flow.probeAt !== null) return now >= flow.probeAt && open.live === 0 && hasToken(flow, limits) ? 1 : 0;
  const window = clamp(flow.window, limits);
  const room = Math.min(window - open.live, 2 * window - open.all);
  const paced = limits.perSecond === null ? room : Math.min(room, Math.floor(flow.tokens));
  return Math.max(0, paced);
}

function hasToken(flow: Flow, limits: Limits): boolean {
  return limits.perSecond === null || flow.tokens >= 1;
}
