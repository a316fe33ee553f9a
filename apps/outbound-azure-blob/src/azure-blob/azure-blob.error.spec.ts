import { DestinationError } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { AZURE_FAULTS, AzureFault } from './azure-blob.client.js';
import { isDenied, isOvertaken, isTaken, toDestinationError } from './azure-blob.error.js';

const answer = (status: number, code = ''): AzureFault => new AzureFault(code, { status });
const ofNode = (code: string): Error => Object.assign(new Error('text of a vendor'), { code });
const PLACE = 'writing https://press.blob.core.windows.net/in/a.pdf';

describe('errors of the blob service', () => {
  it.each([
    [
      'an expired or changed SAS',
      answer(403, 'AuthenticationFailed'),
      'ACCESS_DENIED',
      /expired, been changed/,
    ],
    ['a firewall', answer(403, 'AuthorizationFailure'), 'ACCESS_DENIED', /network rules/],
    [
      'a SAS that may only create',
      answer(403, 'AuthorizationPermissionMismatch'),
      'ACCESS_DENIED',
      /write \(w\) is needed, create \(c\) alone is not enough/,
    ],
    [
      'a SAS that may not replace',
      answer(403, 'UnauthorizedBlobOverwrite'),
      'ACCESS_DENIED',
      /taken.*write \(w\)/,
    ],
    ['a SAS for other addresses', answer(403, 'AuthorizationSourceIPMismatch'), 'ACCESS_DENIED', /address/],
    ['a SAS for other services', answer(403, 'AuthorizationServiceMismatch'), 'ACCESS_DENIED', /ss=b/],
    [
      'a SAS for containers alone',
      answer(403, 'AuthorizationResourceTypeMismatch'),
      'ACCESS_DENIED',
      /srt=o/,
    ],
    ['a disabled account', answer(403, 'AccountIsDisabled'), 'ACCESS_DENIED', /disabled/],
    ['a refusal without a code', answer(403), 'ACCESS_DENIED', undefined],
    ['a missing container', answer(404, 'ContainerNotFound'), 'NOT_FOUND', /container/],
    ['a container that goes away', answer(409, 'ContainerBeingDeleted'), 'NOT_FOUND', /deleted/],
    ['a taken name', answer(409, 'BlobAlreadyExists'), 'ALREADY_EXISTS', undefined],
    ['a condition', answer(412, 'ConditionNotMet'), 'ALREADY_EXISTS', undefined],
    ['a retention policy', answer(409, 'BlobImmutableDueToPolicy'), 'ALREADY_EXISTS', /must not be changed/],
    ['an append blob', answer(409, 'InvalidBlobType'), 'ALREADY_EXISTS', /another kind/],
    ['a lease', answer(412, 'LeaseIdMissing'), 'ACCESS_DENIED', /lease/],
    ['a busy service', answer(503, 'ServerBusy'), 'THROTTLED', undefined],
    ['too many requests', answer(429), 'THROTTLED', undefined],
    ['a front that is away', answer(502), 'UNAVAILABLE', undefined],
    ['an internal error', answer(500, 'InternalError'), 'UNAVAILABLE', undefined],
    ['a time-out of its own', answer(500, 'OperationTimedOut'), 'TIMEOUT', undefined],
    ['a new code with a status that says enough', answer(503, 'NewWord'), 'UNAVAILABLE', undefined],
    ['bytes that changed on the way', answer(400, 'Md5Mismatch'), 'UNAVAILABLE', undefined],
    ['blocks that are gone', answer(400, 'InvalidBlockList'), 'UNAVAILABLE', /at the same time/],
    ['a file beyond all limits', answer(413, 'RequestBodyTooLarge'), 'TOO_LARGE', undefined],
    ['an account that wants https', answer(400, 'AccountRequiresHttps'), 'INVALID_SETTINGS', /https/],
    ['silence', new AzureFault('AZURE_SILENT'), 'TIMEOUT', undefined],
    ['a redirect', answer(307, 'AZURE_REDIRECT'), 'UNAVAILABLE', /not followed/],
    ['a reset connection', ofNode('ECONNRESET'), 'UNAVAILABLE', undefined],
    ['a foreign certificate', ofNode('DEPTH_ZERO_SELF_SIGNED_CERT'), 'UNAVAILABLE', /certificate/],
    ['a status that says nothing', answer(400), 'UNKNOWN', undefined],
    ['a code named constructor', answer(400, 'constructor'), 'UNKNOWN', undefined],
    ['a value that is no error', 'boom', 'UNKNOWN', undefined],
  ])('map %s', (_what, error, code, reason) => {
    const mapped = toDestinationError(error, PLACE);

    expect(mapped).toMatchObject({ code, cause: error });
    if (reason) expect(mapped.message).toMatch(reason);
    else expect(mapped.message).toBe(PLACE);
    expect(mapped.message.startsWith(PLACE)).toBe(true);
    expect(mapped.message).not.toContain('vendor');
  });

  it.each(AZURE_FAULTS)('know %s, which is our own', (code) => {
    expect(toDestinationError(new AzureFault(code), PLACE).message).toBeDefined();
    if (code !== 'AZURE_SIZE')
      expect(toDestinationError(new AzureFault(code), PLACE).code).not.toBe('UNKNOWN');
  });

  it('carry the delay that was asked for', () => {
    const busy = new AzureFault('ServerBusy', { status: 503, retryAfterMs: 7_000 });

    expect(toDestinationError(busy, PLACE).retryAfterMs).toBe(7_000);
  });

  it('stay as they are once they are ours', () => {
    const ours = new DestinationError('ADDRESS_REFUSED', 'connecting to 10.0.0.1:443');

    expect(toDestinationError(ours, PLACE)).toBe(ours);
  });

  it('tell a taken name from a refusal', () => {
    expect([answer(409, 'BlobAlreadyExists'), answer(403, 'UnauthorizedBlobOverwrite')].map(isTaken)).toEqual(
      [true, true],
    );
    expect([answer(403, 'AuthenticationFailed'), answer(404), new Error('taken')].map(isTaken)).toEqual([
      false,
      false,
      false,
    ]);
    expect(isDenied(answer(403))).toBe(true);
    expect(isDenied(answer(404))).toBe(false);
    expect(isOvertaken(answer(400, 'InvalidBlockList'))).toBe(true);
    expect(isOvertaken(answer(400))).toBe(false);
  });

  it('hold nothing of the request', () => {
    const fault = new AzureFault('ServerBusy', { status: 503, requestId: 'id-of-the-answer' });

    expect(fault.message).toBe('ServerBusy 503 id-of-the-answer');
  });
});
