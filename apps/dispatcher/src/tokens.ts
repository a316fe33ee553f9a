import type { RetryPolicy } from './attempts/attempt-end.js';
import type { BreakerPolicy } from './flow/flow.js';

/** Injection tokens of what the composition root builds. */
export const DATA_SOURCE = Symbol('DataSource');
export const SEALER = Symbol('SecretSealer');
export const OUTBOX = Symbol('OutboxRelay');
export const PUBLISHER = Symbol('KafkaPublisher');
export const ADDRESS_GUARD = Symbol('AddressGuard');
export const POLICY = Symbol('Policy');
export const REPORTS_CAUGHT_UP = Symbol('ReportsCaughtUp');

/** The part of the configuration that decides. */
export interface Policy {
  readonly retry: RetryPolicy;
  readonly breaker: BreakerPolicy;
  readonly recipeWaitMs: number;
  readonly silenceMs: number;
  readonly offerNotAfterMs: number;
  readonly pumpIntervalMs: number;
  readonly historyDays: number;
  readonly purgeIntervalMs: number;
  /** Longest wait for what becomes of the sample of a test. */
  readonly testWaitMs: number;
  /** Notices of one list that come within it after a mail are joined into the next one. */
  readonly notificationWindowMs: number;
}

/** To be called after a commit that enqueued something. */
export interface Outbox {
  nudge(): void;
  /** For facts about what is over. */
  nudgeAtLeisure(): void;
}

/**
 * `performance.now()` since when every report of a worker has been read; undefined while some has not. Silence
 * is counted only meanwhile, so that our own absence is never taken for a worker's.
 */
export type ReportsCaughtUp = () => number | undefined;
