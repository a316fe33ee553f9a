import { z } from 'zod';

/**
 * Why an attempt failed: closed, the same for every destination. `NO_REPORT` is the
 * dispatcher's own, for offers that a worker started and never finished.
 */
export const DELIVERY_CODES = [
  'ACCESS_DENIED',
  'ADDRESS_REFUSED',
  'ALREADY_EXISTS',
  'DEFERRED',
  'GONE',
  'HOST_KEY_MISMATCH',
  'INVALID_SETTINGS',
  'NO_REPORT',
  'NOT_FOUND',
  'REJECTED',
  'SOURCE_UNAVAILABLE',
  'TARGET_FULL',
  'THROTTLED',
  'TIMEOUT',
  'TOO_LARGE',
  'UNAVAILABLE',
  'UNKNOWN',
] as const;
export const DeliveryCode = z.enum(DELIVERY_CODES);
export type DeliveryCode = z.infer<typeof DeliveryCode>;

/** In what another process has sent: a code that a newer one has added is no reason to lose the rest of it. */
export const SentDeliveryCode = z.string().pipe(DeliveryCode.catch('UNKNOWN'));

/**
 * Whether another attempt can succeed with nothing changed on our side. Denied and missing
 * are retried: somebody may mend rights or a folder meanwhile. Complete by construction.
 */
export const RETRYABLE: Readonly<Record<DeliveryCode, boolean>> = {
  ACCESS_DENIED: true,
  ADDRESS_REFUSED: false,
  ALREADY_EXISTS: false,
  DEFERRED: true,
  GONE: false,
  HOST_KEY_MISMATCH: false,
  INVALID_SETTINGS: false,
  NO_REPORT: false,
  NOT_FOUND: true,
  REJECTED: false,
  SOURCE_UNAVAILABLE: true,
  TARGET_FULL: true,
  THROTTLED: true,
  TIMEOUT: true,
  TOO_LARGE: false,
  UNAVAILABLE: true,
  UNKNOWN: true,
};

/** Faults of the target's availability, which open a breaker; others are about one delivery. */
export const TRANSIENT_CODES: ReadonlySet<DeliveryCode> = new Set<DeliveryCode>([
  'THROTTLED',
  'TIMEOUT',
  'UNAVAILABLE',
  'UNKNOWN',
]);
