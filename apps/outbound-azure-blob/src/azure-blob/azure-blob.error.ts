import { DestinationError } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

import { AzureFault } from './azure-blob.client.js';

interface Meaning {
  readonly code: DestinationErrorCode;
  /** In our words, where the code alone would leave a person guessing. */
  readonly reason?: string;
}

const meaning = (code: DestinationErrorCode, reason?: string): Meaning => ({
  code,
  ...(reason !== undefined && { reason }),
});

const NO_WRITE = 'the SAS does not allow it: write (w) is needed, create (c) alone is not enough';
const EXPIRED =
  'the SAS is refused: it may have expired, been changed, or been signed with a key that was replaced';
const IMMUTABLE = 'the blob that has this name must not be changed';
const NO_BLOCK_BLOB = 'a blob of another kind has this name';
const LEASED = 'somebody holds a lease';
const RACED = 'somebody else writes to this name at the same time';
const UNTRUSTED = 'the certificate of the service cannot be trusted';

/**
 * Every failure of the blob service and of the connection below it that we know. A `Map`, not an object: a vendor
 * code named `constructor` must not match.
 *
 * Sources: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
 * https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes; capitals with an underscore are
 * codes of Node and our own.
 */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['AccountBeingCreated', meaning('UNAVAILABLE')],
  ['AccountIsDisabled', meaning('ACCESS_DENIED', 'the storage account is disabled')],
  ['AccountRequiresHttps', meaning('INVALID_SETTINGS', 'the storage account takes https alone')],
  ['AuthenticationFailed', meaning('ACCESS_DENIED', EXPIRED)],
  [
    'AuthorizationFailure',
    meaning(
      'ACCESS_DENIED',
      'the SAS has expired, or the network rules of the storage account keep the hub out',
    ),
  ],
  ['AuthorizationPermissionMismatch', meaning('ACCESS_DENIED', NO_WRITE)],
  ['AuthorizationProtocolMismatch', meaning('ACCESS_DENIED', 'the SAS is for https alone')],
  ['AuthorizationResourceTypeMismatch', meaning('ACCESS_DENIED', 'the SAS is not for objects (srt=o)')],
  ['AuthorizationServiceMismatch', meaning('ACCESS_DENIED', 'the SAS is not for the blob service (ss=b)')],
  [
    'AuthorizationSourceIPMismatch',
    meaning('ACCESS_DENIED', 'the SAS is not for the address that the hub calls from'),
  ],
  ['InsufficientAccountPermissions', meaning('ACCESS_DENIED')],
  ['InvalidAuthenticationInfo', meaning('ACCESS_DENIED', EXPIRED)],
  ['NoAuthenticationInformation', meaning('ACCESS_DENIED', EXPIRED)],
  ['PublicAccessNotPermitted', meaning('ACCESS_DENIED', EXPIRED)],
  ['UnauthorizedBlobOverwrite', meaning('ACCESS_DENIED', `the name is taken, and ${NO_WRITE}`)],
  ['LeaseIdMissing', meaning('ACCESS_DENIED', LEASED)],

  ['ContainerBeingDeleted', meaning('NOT_FOUND', 'the container is being deleted')],
  ['ContainerDisabled', meaning('ACCESS_DENIED', 'the container is disabled')],
  ['ContainerNotFound', meaning('NOT_FOUND', 'the container is not there')],
  ['ResourceNotFound', meaning('NOT_FOUND', 'the container is not there')],

  ['BlobAlreadyExists', meaning('ALREADY_EXISTS')],
  ['ConditionNotMet', meaning('ALREADY_EXISTS')],
  ['TargetConditionNotMet', meaning('ALREADY_EXISTS')],
  ['BlobArchived', meaning('ALREADY_EXISTS', 'the blob that has this name is archived')],
  ['BlobBeingRehydrated', meaning('ALREADY_EXISTS', 'the blob that has this name is archived')],
  ['BlobImmutableDueToLegalHold', meaning('ALREADY_EXISTS', IMMUTABLE)],
  ['BlobImmutableDueToPolicy', meaning('ALREADY_EXISTS', IMMUTABLE)],
  ['BlobOperationNotSupported', meaning('ALREADY_EXISTS', NO_BLOCK_BLOB)],
  ['InvalidBlobType', meaning('ALREADY_EXISTS', NO_BLOCK_BLOB)],
  ['PathAlreadyExists', meaning('ALREADY_EXISTS', 'a folder has this name')],
  ['PathConflict', meaning('ALREADY_EXISTS', 'a folder has this name')],

  ['ServerBusy', meaning('THROTTLED')],
  ['TooManyRequests', meaning('THROTTLED')],
  ['InternalError', meaning('UNAVAILABLE')],
  ['OperationTimedOut', meaning('TIMEOUT')],

  ['BlockCountExceedsLimit', meaning('TARGET_FULL', 'too many unfinished uploads stand under this name')],
  ['BlockListTooLong', meaning('TOO_LARGE')],
  ['RequestBodyTooLarge', meaning('TOO_LARGE')],

  // The bytes changed on the way, or somebody else is writing the same name: another try may succeed.
  ['Crc64Mismatch', meaning('UNAVAILABLE')],
  ['Md5Mismatch', meaning('UNAVAILABLE')],
  [
    'InvalidBlobOrBlock',
    meaning('UNAVAILABLE', 'an unfinished upload of another program stands under this name'),
  ],
  ['InvalidBlockList', meaning('UNAVAILABLE', RACED)],
  // A name that was taken, and a moment later was not.
  ['BlobNotFound', meaning('UNAVAILABLE', RACED)],

  ['InvalidResourceName', meaning('INVALID_SETTINGS')],
  ['InvalidUri', meaning('INVALID_SETTINGS')],

  ['AZURE_ANSWER', meaning('UNAVAILABLE', 'what answers there is no blob service')],
  ['AZURE_REDIRECT', meaning('UNAVAILABLE', 'it answered with a redirect, which is not followed')],
  ['AZURE_SETTINGS', meaning('INVALID_SETTINGS', 'the connection string cannot be read')],
  ['AZURE_SILENT', meaning('TIMEOUT')],
  ['AZURE_SIZE', meaning('UNKNOWN', 'the file is not as long as it was')],

  ['CERT_HAS_EXPIRED', meaning('UNAVAILABLE', UNTRUSTED)],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', meaning('UNAVAILABLE', UNTRUSTED)],
  ['ERR_TLS_CERT_ALTNAME_INVALID', meaning('UNAVAILABLE', UNTRUSTED)],
  ['SELF_SIGNED_CERT_IN_CHAIN', meaning('UNAVAILABLE', UNTRUSTED)],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', meaning('UNAVAILABLE', UNTRUSTED)],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', meaning('UNAVAILABLE', UNTRUSTED)],
  ['EPROTO', meaning('UNAVAILABLE', 'it does not speak TLS as it should')],
  ['ERR_SSL_WRONG_VERSION_NUMBER', meaning('UNAVAILABLE', 'it does not speak TLS as it should')],
  ['ECONNREFUSED', meaning('UNAVAILABLE')],
  ['ECONNRESET', meaning('UNAVAILABLE')],
  ['EHOSTUNREACH', meaning('UNAVAILABLE')],
  ['ENETUNREACH', meaning('UNAVAILABLE')],
  ['ENOTFOUND', meaning('UNAVAILABLE')],
  ['EPIPE', meaning('UNAVAILABLE')],
  ['HPE_INVALID_CONSTANT', meaning('UNAVAILABLE', 'what answers there is no blob service')],
  ['ETIMEDOUT', meaning('TIMEOUT')],
]);

/** Where the service gives no code, or one that is new: answers of something in front of it have none. */
const STATUSES: ReadonlyMap<number, DestinationErrorCode> = new Map([
  [401, 'ACCESS_DENIED'],
  [403, 'ACCESS_DENIED'],
  [404, 'NOT_FOUND'],
  [408, 'TIMEOUT'],
  [413, 'TOO_LARGE'],
  [429, 'THROTTLED'],
  [500, 'UNAVAILABLE'],
  [502, 'UNAVAILABLE'],
  [503, 'UNAVAILABLE'],
  [504, 'TIMEOUT'],
  [507, 'TARGET_FULL'],
]);

/**
 * Total: any value gives a `DestinationError`. What the table does not know is `UNKNOWN`, which is retried, counted
 * and alerts, so that the table gains a row.
 *
 * @param place what was being done and where, in the present participle, without secrets.
 */
export function toDestinationError(error: unknown, place: string): DestinationError {
  if (error instanceof DestinationError) return error;
  const { code, reason } = meaningOf(error);
  const retryAfterMs = error instanceof AzureFault ? error.retryAfterMs : undefined;
  return new DestinationError(code, reason === undefined ? place : `${place}: ${reason}`, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** A create-only write found the name taken. With a SAS that may only create, the service says so as a refusal. */
export function isTaken(error: unknown): boolean {
  if (!(error instanceof AzureFault)) return false;
  return error.code === 'UnauthorizedBlobOverwrite' || meaningOf(error).code === 'ALREADY_EXISTS';
}

/** The SAS does not allow what was asked for. */
export function isDenied(error: unknown): boolean {
  return error instanceof AzureFault && meaningOf(error).code === 'ACCESS_DENIED';
}

/** Somebody else was there in between: the blocks went with their commit, or what had the name went away. */
export function isOvertaken(error: unknown): boolean {
  return error instanceof AzureFault && (error.code === 'InvalidBlockList' || error.code === 'BlobNotFound');
}

function meaningOf(error: unknown): Meaning {
  if (!Error.isError(error) || !('code' in error) || typeof error.code !== 'string')
    return { code: 'UNKNOWN' };
  const known = MEANINGS.get(error.code);
  if (known !== undefined) return known;
  const status = error instanceof AzureFault ? error.status : undefined;
  return { code: (status === undefined ? undefined : STATUSES.get(status)) ?? 'UNKNOWN' };
}
