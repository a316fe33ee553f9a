import { RETRYABLE } from '@heddle/contracts';
import type { AttemptOutcome, DeliveryCode } from '@heddle/contracts';

import { END_STATE } from '../lanes/lane.js';
import type { EndReason } from '../lanes/lane.js';

/** What is known of a delivery when one of its offers ends. */
export interface Attempted {
  /** Attempts spent before this one. */
  readonly attempts: number;
  /** Offers in a row whose worker fell silent. */
  readonly silences: number;
  /** Set while it was in flight: no further attempt. */
  readonly stopReason: EndReason | null;
  /** Every file has its receipt. */
  readonly isComplete: boolean;
  /** Recipes that had not come when the file set was fixed. */
  readonly missing: readonly string[];
}

/** `silent`: started, then not heard of. `expired`: never started. */
export type OfferOutcome = AttemptOutcome | 'silent';

export interface OfferEnded {
  readonly outcome: OfferOutcome;
  readonly code: DeliveryCode | null;
  readonly message: string | null;
  readonly retryAfterMs: number | null;
}

interface Spent {
  readonly attempts: number;
  readonly silences: number;
}

export type NextStep = Spent &
  (
    | { readonly state: 'succeeded' }
    | { readonly state: 'failed'; readonly code: DeliveryCode; readonly message: string }
    | {
        readonly state: 'retrying';
        readonly code: DeliveryCode;
        readonly message: string;
        readonly delayMs: number;
      }
    | { readonly state: 'ready' }
    | { readonly state: 'superseded' | 'cancelled'; readonly reason: EndReason }
  );

export interface RetryPolicy {
  /** Before retry 1, before retry 2, ...: as many retries as entries. */
  readonly delaysMs: readonly number[];
}

/** Longest wait that a target may ask for. Source: architecture, section 7. */
export const MAX_RETRY_AFTER_MS = 3_600_000;
const JITTER = 0.15;
const MAX_SILENCES = 3;

/**
 * What becomes of a delivery when its current offer ends. Receipts decide over words: with all of them it has
 * succeeded whatever the outcome says, without one it has not.
 *
 * @param random from 0 to 1.
 */
export function afterOffer(
  delivery: Attempted,
  end: OfferEnded,
  policy: RetryPolicy,
  random: number,
): NextStep {
  const { attempts, silences, stopReason, missing, isComplete } = delivery;
  if (isComplete) {
    const spent = { attempts: attempts + 1, silences: 0 };
    if (missing.length === 0) return { state: 'succeeded', ...spent };
    return { state: 'failed', code: MISSING_CODE, message: missingRecipes(missing), ...spent };
  }

  switch (end.outcome) {
    case 'released':
    case 'expired':
      return stopped({ attempts, silences }, stopReason) ?? { state: 'ready', attempts, silences };
    case 'silent': {
      const spent = { attempts, silences: silences + 1 };
      const stop = stopped(spent, stopReason);
      if (stop) return stop;
      if (spent.silences < MAX_SILENCES) return { state: 'ready', ...spent };
      const message = `attempting: ${String(MAX_SILENCES)} workers in a row started and were not heard of again`;
      return {
        state: 'failed',
        code: 'NO_REPORT',
        message,
        attempts: attempts + 1,
        silences: spent.silences,
      };
    }
    case 'succeeded':
      return afterFailure(
        delivery,
        { code: 'UNKNOWN', message: 'attempting: reported as done with files that have no receipt' },
        null,
        policy,
        random,
      );
    case 'failed':
      return afterFailure(
        delivery,
        { code: end.code ?? 'UNKNOWN', message: end.message ?? 'attempting: no reason was given' },
        end.retryAfterMs,
        policy,
        random,
      );
  }
}

function afterFailure(
  { attempts, stopReason }: Attempted,
  failure: { readonly code: DeliveryCode; readonly message: string },
  retryAfterMs: number | null,
  policy: RetryPolicy,
  random: number,
): NextStep {
  const spent = { attempts: attempts + 1, silences: 0 };
  const waitMs = policy.delaysMs[attempts];
  if (!RETRYABLE[failure.code] || waitMs === undefined) return { state: 'failed', ...failure, ...spent };
  return (
    stopped(spent, stopReason) ?? {
      state: 'retrying',
      ...failure,
      ...spent,
      delayMs: retryDelayMs(waitMs, retryAfterMs, random),
    }
  );
}

function stopped(spent: Spent, reason: EndReason | null): NextStep | undefined {
  return reason === null ? undefined : { state: END_STATE[reason], reason, ...spent };
}

/** The configured wait, spread by 15 % so that many do not come back at once; never before the target asked for. */
export function retryDelayMs(waitMs: number, retryAfterMs: number | null, random: number): number {
  const spread = waitMs * (1 + JITTER * (2 * random - 1));
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return Math.round(Math.max(spread, asked));
}

/** Final: the wait for the recipe is over, and when it comes `order.updated` starts a delivery of its own. */
export const MISSING_CODE = 'SOURCE_UNAVAILABLE' as const satisfies DeliveryCode;

export function missingRecipes(recipeIds: readonly string[]): string {
  const shown = recipeIds.slice(0, 10).join(', ');
  const more = recipeIds.length > 10 ? ` and ${String(recipeIds.length - 10)} more` : '';
  return `collecting the files: not there after waiting: recipe ${shown}${more}`;
}
