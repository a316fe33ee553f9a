import { DestinationError } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { S3Fault } from './s3.client.js';
import { isConflict, isCut, isDenied, isTaken, toDestinationError } from './s3.error.js';

/** As the SDK throws what a store answers. */
function answer(name: string, httpStatusCode: number, headers: Record<string, string> = {}): Error {
  return Object.assign(new Error('vendor detail'), {
    name,
    $metadata: { httpStatusCode },
    $response: { statusCode: httpStatusCode, headers },
  });
}

describe('errors of S3', () => {
  it.each([
    ['a wrong secret', answer('SignatureDoesNotMatch', 403), 'ACCESS_DENIED'],
    ['a key without the right', answer('AccessDenied', 403), 'ACCESS_DENIED'],
    ['a HEAD that is refused', answer('Forbidden', 403), 'ACCESS_DENIED'],
    ['a missing bucket', answer('NoSuchBucket', 404), 'NOT_FOUND'],
    ['a bucket in another region', answer('PermanentRedirect', 301), 'INVALID_SETTINGS'],
    ['a signature for another region', answer('AuthorizationHeaderMalformed', 400), 'INVALID_SETTINGS'],
    ['a store without conditional writes', answer('NotImplemented', 501), 'INVALID_SETTINGS'],
    ['a taken name', answer('PreconditionFailed', 412), 'ALREADY_EXISTS'],
    ['a file that is too large', answer('EntityTooLarge', 400), 'TOO_LARGE'],
    ['a proxy with a limit', answer('UnknownError', 413), 'TOO_LARGE'],
    ['a full store', answer('XMinioStorageFull', 507), 'TARGET_FULL'],
    ['a full store in plain HTTP', answer('UnknownError', 507), 'TARGET_FULL'],
    ['too many requests', answer('SlowDown', 503), 'THROTTLED'],
    ['too many requests in plain HTTP', answer('UnknownError', 429), 'THROTTLED'],
    ['bytes that changed on the way', answer('BadDigest', 400), 'UNAVAILABLE'],
    ['an upload that somebody ended', answer('NoSuchUpload', 404), 'UNAVAILABLE'],
    ['a store in trouble', answer('InternalError', 500), 'UNAVAILABLE'],
    ['a gateway in trouble', answer('UnknownError', 502), 'UNAVAILABLE'],
    ['a request that took too long', answer('RequestTimeout', 400), 'TIMEOUT'],
    ['silence', new S3Fault('TimeoutError'), 'TIMEOUT'],
    ['a refused connection', new S3Fault('ECONNREFUSED'), 'UNAVAILABLE'],
    ['a cut connection', new S3Fault('ECONNRESET'), 'UNAVAILABLE'],
    ['an untrusted certificate', new S3Fault('DEPTH_ZERO_SELF_SIGNED_CERT'), 'UNAVAILABLE'],
    ['a code that no table has', answer('SomethingNew', 400), 'UNKNOWN'],
    ['a code named constructor', answer('constructor', 400), 'UNKNOWN'],
    ['a value that is no error', 'boom', 'UNKNOWN'],
  ])('map %s', (_what, error, code) => {
    const mapped = toDestinationError(error, 'writing s3://press-room/a');

    expect(mapped).toMatchObject({ code, message: 'writing s3://press-room/a', cause: error });
    expect(mapped.message).not.toContain('vendor');
  });

  it('carry the wait that the store asks for', () => {
    expect(toDestinationError(answer('SlowDown', 503, { 'retry-after': '7' }), 'writing').retryAfterMs).toBe(
      7_000,
    );
    expect(toDestinationError(answer('SlowDown', 503), 'writing').retryAfterMs).toBeUndefined();
  });

  it('stay as they are once they are ours', () => {
    const ours = new DestinationError('ADDRESS_REFUSED', 'connecting to 10.0.0.1:443');
    expect(toDestinationError(ours, 'writing')).toBe(ours);
  });

  it('tell a taken name, a conflict, a cut connection and a refusal apart', () => {
    const errors = [
      answer('PreconditionFailed', 412),
      answer('ConditionalRequestConflict', 409),
      new S3Fault('EPIPE'),
      answer('AccessDenied', 403),
      'boom',
    ];

    expect(errors.map((error) => [isTaken, isConflict, isCut, isDenied].map((is) => is(error)))).toEqual([
      [true, false, false, false],
      [false, true, false, false],
      [false, false, true, false],
      [false, false, false, true],
      [false, false, false, false],
    ]);
  });
});
