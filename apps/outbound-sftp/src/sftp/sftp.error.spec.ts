import { DestinationError } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { SftpFault } from './sftp.client.js';
import { toDestinationError } from './sftp.error.js';

const status = (code: number, message = 'Failure'): Error => Object.assign(new Error(message), { code });
const level = (name: string, code?: string): Error =>
  Object.assign(new Error('text of a vendor'), { level: name, ...(code !== undefined && { code }) });

describe('errors of SFTP', () => {
  it.each([
    ['no such file', status(2), 'NOT_FOUND'],
    ['permission denied', status(3), 'ACCESS_DENIED'],
    ['connection lost', status(7), 'UNAVAILABLE'],
    ['no space on file system', status(14), 'TARGET_FULL'],
    ['quota exceeded', status(15), 'TARGET_FULL'],
    ['a failure that says "No space left on device"', status(4, 'No space left on device'), 'TARGET_FULL'],
    ['a failure that says "Disk quota exceeded"', status(4, 'write: Disk quota exceeded'), 'TARGET_FULL'],
    ['a failure that says "Read-only file system"', status(4, 'Read-only file system'), 'ACCESS_DENIED'],
    ['a failure that says nothing', status(4), 'UNKNOWN'],
    ['refused credentials', level('client-authentication'), 'ACCESS_DENIED'],
    ['a handshake that takes too long', level('client-timeout'), 'TIMEOUT'],
    ['a reset connection', level('client-socket', 'ECONNRESET'), 'UNAVAILABLE'],
    ['no common algorithm', level('handshake'), 'UNAVAILABLE'],
    ['another host key', new SftpFault('SFTP_HOST_KEY'), 'HOST_KEY_MISMATCH'],
    ['silence', new SftpFault('SFTP_SILENT'), 'TIMEOUT'],
    ['a closed connection', new SftpFault('SFTP_CLOSED'), 'UNAVAILABLE'],
    ['an unreadable key', new SftpFault('SFTP_SETTINGS'), 'INVALID_SETTINGS'],
    ['a file of another size', new SftpFault('SFTP_SIZE'), 'UNAVAILABLE'],
    ['a code named constructor', Object.assign(new Error(), { code: 'constructor' }), 'UNKNOWN'],
    ['a value that is no error', 'boom', 'UNKNOWN'],
  ])('map %s', (_what, error, code) => {
    const mapped = toDestinationError(error, 'writing sftp://factory.example/a');

    expect(mapped).toMatchObject({ code, message: 'writing sftp://factory.example/a', cause: error });
    expect(mapped.message).not.toContain('vendor');
  });

  it('stay as they are once they are ours', () => {
    const ours = new DestinationError('ADDRESS_REFUSED', 'connecting to 10.0.0.1:22');
    expect(toDestinationError(ours, 'writing')).toBe(ours);
  });
});
