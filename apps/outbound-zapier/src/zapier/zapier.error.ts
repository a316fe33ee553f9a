import { DestinationError, readRetryAfter } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

import { HookRefusal } from './hook.client.js';

/**
 * Every failure of a hook and of the connection below it that we know. A `Map`, not an object: a code named
 * `constructor` must not match. Only 410 ends a delivery: all else is retried. Source: wire/zapier.md.
 *
 * Numbers are statuses (RFC 9110, RFC 6585); words are codes of Node and our own.
 */
const CODES: ReadonlyMap<string | number, DestinationErrorCode> = new Map<
  string | number,
  DestinationErrorCode
>([
  [401, 'ACCESS_DENIED'],
  [403, 'ACCESS_DENIED'],
  [404, 'NOT_FOUND'],
  [408, 'TIMEOUT'],
  [410, 'GONE'],
  [429, 'THROTTLED'],
  [507, 'TARGET_FULL'],
  ['HOOK_SILENT', 'TIMEOUT'],
  ['HOOK_STALE', 'UNAVAILABLE'],
  ['EAI_AGAIN', 'UNAVAILABLE'],
  ['ECONNABORTED', 'UNAVAILABLE'],
  ['ECONNREFUSED', 'UNAVAILABLE'],
  ['ECONNRESET', 'UNAVAILABLE'],
  ['EHOSTUNREACH', 'UNAVAILABLE'],
  ['ENETUNREACH', 'UNAVAILABLE'],
  ['ENOTFOUND', 'UNAVAILABLE'],
  ['EPIPE', 'UNAVAILABLE'],
  ['EPROTO', 'UNAVAILABLE'],
  ['ETIMEDOUT', 'TIMEOUT'],
]);

/** Statuses by their class where the table has no row. Redirects are not followed: the hook is not where it should be. */
const CLASSES: ReadonlyMap<number, DestinationErrorCode> = new Map<number, DestinationErrorCode>([
  [3, 'NOT_FOUND'],
  [5, 'UNAVAILABLE'],
]);

/** Certificates that do not hold, a failed handshake, an answer that is no HTTP. Source: Node.js, "Errors" and "TLS". */
const BROKEN =
  /^(?:CERT_|DEPTH_ZERO_|ERR_SSL_|ERR_TLS_|HOSTNAME_MISMATCH|HPE_|INVALID_CA|SELF_SIGNED_|UNABLE_TO_)/;

/**
 * Total: any value gives a `DestinationError`. What the table does not know is `UNKNOWN`, which is retried, counted and
 * alerts, so that the table gains a row.
 *
 * @param place what was being done and where, in the present participle, without the hook's path.
 */
export function toDestinationError(error: unknown, place: string, now = Date.now()): DestinationError {
  if (error instanceof DestinationError) return error;
  if (!(error instanceof HookRefusal)) return new DestinationError(codeOf(error), place, { cause: error });
  const what = `${place}: the hook answered ${String(error.code)}${error.isRedirect ? ', redirects are not followed' : ''}`;
  const retryAfterMs = readRetryAfter(error.retryAfter, now);
  return new DestinationError(codeOf(error), what, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function codeOf(error: unknown): DestinationErrorCode {
  const { code } = Object(error) as { readonly code?: unknown };
  if (typeof code === 'string') return CODES.get(code) ?? (BROKEN.test(code) ? 'UNAVAILABLE' : 'UNKNOWN');
  if (typeof code !== 'number') return 'UNKNOWN';
  return CODES.get(code) ?? CLASSES.get(Math.floor(code / 100)) ?? 'UNKNOWN';
}
