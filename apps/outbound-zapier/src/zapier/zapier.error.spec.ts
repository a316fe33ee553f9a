import { RETRYABLE } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { HookRefusal, HookSilence, StaleConnection } from './hook.client.js';
import { toDestinationError } from './zapier.error.js';

const answered = (status: number, retryAfter?: string): HookRefusal =>
  new HookRefusal({ status, retryAfter });
const coded = (code: string): Error => Object.assign(new Error('text of a vendor'), { code });

describe('errors of a hook', () => {
  it.each([
    ['another success', answered(202), 'UNKNOWN'],
    ['a redirect', answered(302), 'NOT_FOUND'],
    ['a bad request', answered(400), 'UNKNOWN'],
    ['unauthorized', answered(401), 'ACCESS_DENIED'],
    ['forbidden', answered(403), 'ACCESS_DENIED'],
    ['not found', answered(404), 'NOT_FOUND'],
    ['a time-out of the request', answered(408), 'TIMEOUT'],
    ['gone', answered(410), 'GONE'],
    ['too large, for others may be smaller', answered(413), 'UNKNOWN'],
    ['too many requests', answered(429), 'THROTTLED'],
    ['a fault of the server', answered(500), 'UNAVAILABLE'],
    ['a gateway', answered(502), 'UNAVAILABLE'],
    ['a busy server', answered(503), 'UNAVAILABLE'],
    ['a full server', answered(507), 'TARGET_FULL'],
    ['a status that nobody knows', answered(599), 'UNAVAILABLE'],
    ['a status out of every class', answered(999), 'UNKNOWN'],
    ['silence', new HookSilence(), 'TIMEOUT'],
    ['a closed connection', new StaleConnection(), 'UNAVAILABLE'],
    ['a refused connection', coded('ECONNREFUSED'), 'UNAVAILABLE'],
    ['a reset connection', coded('ECONNRESET'), 'UNAVAILABLE'],
    ['a slow connection', coded('ETIMEDOUT'), 'TIMEOUT'],
    ['an old certificate', coded('CERT_HAS_EXPIRED'), 'UNAVAILABLE'],
    ['a certificate of nobody', coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'UNAVAILABLE'],
    ['a certificate of another host', coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'UNAVAILABLE'],
    ['an answer that is no HTTP', coded('HPE_INVALID_CONSTANT'), 'UNAVAILABLE'],
    ['a code named constructor', coded('constructor'), 'UNKNOWN'],
    ['a value that is no error', 'boom', 'UNKNOWN'],
  ] as const)('map %s', (_what, error, code) => {
    const mapped = toDestinationError(error, 'delivering to https://hooks.example');

    expect(mapped).toMatchObject({ code, cause: error });
    expect(mapped.message).toMatch(
      /^delivering to https:\/\/hooks\.example(?:: the hook answered \d{3}.*)?$/,
    );
  });

  it('end a delivery at once for 410 alone', () => {
    const statuses = Array.from({ length: 500 }, (_, index) => index + 100).filter(
      (status) => status !== 200,
    );
    const final = statuses.filter(
      (status) => !RETRYABLE[toDestinationError(answered(status), 'delivering').code],
    );

    expect(final).toEqual([410]);
  });

  it('stay as they are once they are ours', () => {
    const ours = new DestinationError('ADDRESS_REFUSED', 'connecting to 10.0.0.1:443');
    expect(toDestinationError(ours, 'delivering')).toBe(ours);
  });

  it('carry how long to wait, whatever the status', () => {
    expect(toDestinationError(answered(503, '120'), 'delivering').retryAfterMs).toBe(120_000);
    expect(toDestinationError(answered(503), 'delivering').retryAfterMs).toBeUndefined();
  });
});
