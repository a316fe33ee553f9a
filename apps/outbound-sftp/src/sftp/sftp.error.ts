import { DestinationError } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

/**
 * Every failure of an SFTP server and of the connection below it that we know. A `Map`, not an
 * object: a vendor code named `constructor` must not match.
 *
 * Numbers are status codes. Sources: draft-ietf-secsh-filexfer-13, section 9.1 (8 and below are
 * version 3, which OpenSSH speaks). Words are levels of ssh2's errors, codes of Node and our own.
 */
const CODES: ReadonlyMap<string | number, DestinationErrorCode> = new Map<
  string | number,
  DestinationErrorCode
>([
  [2, 'NOT_FOUND'],
  [3, 'ACCESS_DENIED'],
  [6, 'UNAVAILABLE'],
  [7, 'UNAVAILABLE'],
  [10, 'NOT_FOUND'],
  [12, 'ACCESS_DENIED'],
  [13, 'UNAVAILABLE'],
  [14, 'TARGET_FULL'],
  [15, 'TARGET_FULL'],
  [17, 'UNAVAILABLE'],
  [19, 'NOT_FOUND'],
  [20, 'REJECTED'],
  ['client-authentication', 'ACCESS_DENIED'],
  ['client-timeout', 'TIMEOUT'],
  ['client-socket', 'UNAVAILABLE'],
  ['handshake', 'UNAVAILABLE'],
  ['protocol', 'UNAVAILABLE'],
  ['sftp-protocol', 'UNAVAILABLE'],
  ['SFTP_CLOSED', 'UNAVAILABLE'],
  ['SFTP_HOST_KEY', 'HOST_KEY_MISMATCH'],
  ['SFTP_SETTINGS', 'INVALID_SETTINGS'],
  ['SFTP_SILENT', 'TIMEOUT'],
  ['SFTP_SIZE', 'UNAVAILABLE'],
  ['ECONNREFUSED', 'UNAVAILABLE'],
  ['ECONNRESET', 'UNAVAILABLE'],
  ['EHOSTUNREACH', 'UNAVAILABLE'],
  ['ENETUNREACH', 'UNAVAILABLE'],
  ['ENOTFOUND', 'UNAVAILABLE'],
  ['EPIPE', 'UNAVAILABLE'],
  ['ETIMEDOUT', 'TIMEOUT'],
]);

/** Version 3 has one code, 4, for all that has none of its own; some servers say more in its text. */
const FAILURE = 4;
const FULL = /no space|disk (?:is )?full|quota|ENOSPC|EDQUOT|insufficient (?:disk )?space/i;
const DENIED = /permission denied|access (?:is )?denied|read-only|EACCES|EROFS/i;

/**
 * Total: any value gives a `DestinationError`. What the table does not know is `UNKNOWN`,
 * which is retried, counted and alerts, so that the table gains a row.
 *
 * @param place what was being done and where, in the present participle, without secrets.
 */
export function toDestinationError(error: unknown, place: string): DestinationError {
  if (error instanceof DestinationError) return error;
  return new DestinationError(codeOf(error), place, { cause: error });
}

/** The server says that nothing is there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 2 || error.code === 10);
}

/** The connection is gone; what was under way may have happened or not. */
export function isConnectionLoss(error: unknown): boolean {
  return codeOf(error) === 'UNAVAILABLE' && !(error instanceof DestinationError);
}

/** The server failed without a reason, so its disk may be full. */
export function isUnexplained(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === FAILURE && codeOf(error) === 'UNKNOWN';
}

function codeOf(error: unknown): DestinationErrorCode {
  if (!(error instanceof Error)) return 'UNKNOWN';
  const code = 'code' in error ? error.code : undefined;
  if (code === FAILURE) {
    if (FULL.test(error.message)) return 'TARGET_FULL';
    return DENIED.test(error.message) ? 'ACCESS_DENIED' : 'UNKNOWN';
  }
  const level = 'level' in error ? error.level : undefined;
  for (const key of [level, code]) {
    const known = typeof key === 'string' || typeof key === 'number' ? CODES.get(key) : undefined;
    if (known !== undefined) return known;
  }
  return 'UNKNOWN';
}
