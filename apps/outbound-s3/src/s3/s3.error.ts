import { DestinationError, readRetryAfter } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

/**
 * Every failure of S3, of stores that speak its language and of the connection below that we know. A `Map`, not an
 * object: a vendor code named `constructor` must not match.
 *
 * Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; `XMinio...` and quotas:
 * https://github.com/minio/minio/blob/master/cmd/api-errors.go; `QuotaExceeded`: https://docs.ceph.com/en/latest/radosgw/s3/.
 */
const CODES: ReadonlyMap<string, DestinationErrorCode> = new Map<string, DestinationErrorCode>([
  ['AccessDenied', 'ACCESS_DENIED'],
  ['AccountProblem', 'ACCESS_DENIED'],
  ['AllAccessDisabled', 'ACCESS_DENIED'],
  ['ExpiredToken', 'ACCESS_DENIED'],
  ['InvalidAccessKeyId', 'ACCESS_DENIED'],
  ['InvalidToken', 'ACCESS_DENIED'],
  ['KMS.DisabledException', 'ACCESS_DENIED'],
  ['KMS.InvalidStateException', 'ACCESS_DENIED'],
  ['KMS.NotFoundException', 'ACCESS_DENIED'],
  ['NotSignedUp', 'ACCESS_DENIED'],
  ['SignatureDoesNotMatch', 'ACCESS_DENIED'],
  ['UnauthorizedAccess', 'ACCESS_DENIED'],

  ['NoSuchBucket', 'NOT_FOUND'],

  // The bucket is in another region, behind another endpoint, or its store cannot do what the settings ask for.
  ['AuthorizationHeaderMalformed', 'INVALID_SETTINGS'],
  ['IllegalLocationConstraintException', 'INVALID_SETTINGS'],
  ['IncorrectEndpoint', 'INVALID_SETTINGS'],
  ['InvalidBucketName', 'INVALID_SETTINGS'],
  ['NotImplemented', 'INVALID_SETTINGS'],
  ['PermanentRedirect', 'INVALID_SETTINGS'],
  ['Redirect', 'INVALID_SETTINGS'],
  ['TemporaryRedirect', 'INVALID_SETTINGS'],

  ['PreconditionFailed', 'ALREADY_EXISTS'],
  ['EntityTooLarge', 'TOO_LARGE'],

  ['QuotaExceeded', 'TARGET_FULL'],
  ['XMinioAdminBucketQuotaExceeded', 'TARGET_FULL'],
  ['XMinioStorageFull', 'TARGET_FULL'],

  ['BandwidthLimitExceeded', 'THROTTLED'],
  ['RequestLimitExceeded', 'THROTTLED'],
  ['RequestThrottled', 'THROTTLED'],
  ['SlowDown', 'THROTTLED'],
  ['SlowDownWrite', 'THROTTLED'],
  ['Throttling', 'THROTTLED'],
  ['ThrottlingException', 'THROTTLED'],
  ['TooManyRequests', 'THROTTLED'],

  // The bytes changed on the way, another writer was at the same key, or somebody ended our upload: again.
  ['BadDigest', 'UNAVAILABLE'],
  ['ConditionalRequestConflict', 'UNAVAILABLE'],
  ['IncompleteBody', 'UNAVAILABLE'],
  ['InternalError', 'UNAVAILABLE'],
  ['InvalidDigest', 'UNAVAILABLE'],
  ['InvalidPart', 'UNAVAILABLE'],
  ['NoSuchUpload', 'UNAVAILABLE'],
  ['OperationAborted', 'UNAVAILABLE'],
  // The SDK has noted the difference and signs the next request by the store's clock.
  ['RequestTimeTooSkewed', 'UNAVAILABLE'],
  ['ServiceUnavailable', 'UNAVAILABLE'],
  ['XAmzContentChecksumMismatch', 'UNAVAILABLE'],
  ['XAmzContentSHA256Mismatch', 'UNAVAILABLE'],
  ['XMinioServerNotInitialized', 'UNAVAILABLE'],

  ['RequestTimeout', 'TIMEOUT'],
  ['TimeoutError', 'TIMEOUT'],

  ['ECONNREFUSED', 'UNAVAILABLE'],
  ['ECONNRESET', 'UNAVAILABLE'],
  ['EHOSTUNREACH', 'UNAVAILABLE'],
  ['ENETUNREACH', 'UNAVAILABLE'],
  ['ENOTFOUND', 'UNAVAILABLE'],
  ['EPIPE', 'UNAVAILABLE'],
  ['ETIMEDOUT', 'TIMEOUT'],
  ['HPE_INVALID_CONSTANT', 'UNAVAILABLE'],
]);

/** For answers without a code: to HEAD there is no body, and proxies speak no S3. */
const STATUSES: ReadonlyMap<number, DestinationErrorCode> = new Map<number, DestinationErrorCode>([
  [301, 'INVALID_SETTINGS'],
  [302, 'INVALID_SETTINGS'],
  [307, 'INVALID_SETTINGS'],
  [308, 'INVALID_SETTINGS'],
  [401, 'ACCESS_DENIED'],
  [403, 'ACCESS_DENIED'],
  [404, 'NOT_FOUND'],
  [407, 'ACCESS_DENIED'],
  [408, 'TIMEOUT'],
  [412, 'ALREADY_EXISTS'],
  [413, 'TOO_LARGE'],
  [429, 'THROTTLED'],
  [500, 'UNAVAILABLE'],
  [501, 'INVALID_SETTINGS'],
  [502, 'UNAVAILABLE'],
  [503, 'UNAVAILABLE'],
  [504, 'TIMEOUT'],
  [507, 'TARGET_FULL'],
]);

/** No TLS, or a certificate that is not to be trusted. Source: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const TLS_FAILURE = /^(?:EPROTO$|ERR_SSL_|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;

/** Another writer was at the key at the same moment. */
const CONFLICTS: ReadonlySet<string> = new Set(['ConditionalRequestConflict', 'OperationAborted']);
/** The connection went away under the request, as a kept one does when nobody has used it for a while. */
const CUTS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);

/**
 * Total: any value gives a `DestinationError`. What the table does not know is `UNKNOWN`,
 * which is retried, counted and alerts, so that the table gains a row.
 *
 * @param place what was being done and where, in the present participle, without secrets.
 */
export function toDestinationError(error: unknown, place: string): DestinationError {
  if (error instanceof DestinationError) return error;
  const wait = readRetryAfter(headersOf(error)?.['retry-after']);
  return new DestinationError(deliveryCodeOf(error), place, {
    cause: error,
    ...(wait !== undefined && { retryAfterMs: wait }),
  });
}

export function isTaken(error: unknown): boolean {
  return error instanceof Error && deliveryCodeOf(error) === 'ALREADY_EXISTS';
}

export function isConflict(error: unknown): boolean {
  return error instanceof Error && CONFLICTS.has(wordOf(error));
}

export function isCut(error: unknown): boolean {
  return error instanceof Error && CUTS.has(wordOf(error));
}

export function isDenied(error: unknown): boolean {
  return error instanceof Error && deliveryCodeOf(error) === 'ACCESS_DENIED';
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && deliveryCodeOf(error) === 'NOT_FOUND';
}

function deliveryCodeOf(error: unknown): DestinationErrorCode {
  if (error instanceof DestinationError) return error.code;
  if (!(error instanceof Error)) return 'UNKNOWN';
  const word = wordOf(error);
  const known = TLS_FAILURE.test(word) ? 'UNAVAILABLE' : CODES.get(word);
  if (known !== undefined) return known;
  const status = statusOf(error);
  return (status === undefined ? undefined : STATUSES.get(status)) ?? 'UNKNOWN';
}

/** Node puts its code in `code`, the SDK puts the store's in `name`. */
function wordOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

function statusOf(error: unknown): number | undefined {
  const { $metadata } = error as { readonly $metadata?: { readonly httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return typeof status === 'number' ? status : undefined;
}

function headersOf(error: unknown): Readonly<Record<string, string | undefined>> | undefined {
  if (!(error instanceof Error)) return undefined;
  const { $response } = error as { readonly $response?: { readonly headers?: Record<string, string> } };
  return $response?.headers;
}
