import { STATUS } from './sftp-wire.js';
import type { Status } from './sftp-wire.js';

/** `connect` is before the first byte of SSH, `login` before the answer to a password or key. */
export const SFTP_OPERATIONS = [
  'connect',
  'login',
  'open',
  'close',
  'read',
  'write',
  'stat',
  'setstat',
  'list',
  'remove',
  'mkdir',
  'rmdir',
  'realpath',
  'rename',
  'posix-rename',
  'fsync',
] as const;
export type SftpOperation = (typeof SFTP_OPERATIONS)[number];

/** How OpenSSH puts them: version 3 of the protocol has no code for most. */
export const SFTP_FAILURES = {
  ENOENT: { status: STATUS.NO_SUCH_FILE, message: 'No such file' },
  EACCES: { status: STATUS.PERMISSION_DENIED, message: 'Permission denied' },
  ENOSPC: { status: STATUS.FAILURE, message: 'No space left on device' },
  EDQUOT: { status: STATUS.FAILURE, message: 'Disk quota exceeded' },
  EEXIST: { status: STATUS.FAILURE, message: 'Failure' },
  EIO: { status: STATUS.FAILURE, message: 'Failure' },
} as const satisfies Record<string, { status: Status; message: string }>;
export type SftpFailure = keyof typeof SFTP_FAILURES;

/** What the server does wrong from now on, to open sessions as well. */
export interface SftpFaults {
  /** Ends each connection as soon as it is accepted. */
  readonly refuseConnections?: boolean;
  /** Answers "no" to every login. */
  readonly refuseLogin?: boolean;
  /** Never answers these. */
  readonly hangOn?: readonly SftpOperation[];
  /** Answers these with a failure. */
  readonly fail?: Readonly<Partial<Record<SftpOperation, SftpFailure>>>;
  /** Cuts a connection that has uploaded or downloaded this many bytes of file content. */
  readonly cutAfterBytes?: number;
  /** Cuts the connection right after these have taken effect, instead of the answer. */
  readonly cutAfter?: readonly SftpOperation[];
  /** A server that knows version 3 of the protocol and nothing more. */
  readonly noPosixRename?: boolean;
  /** Before each answer. */
  readonly delayMs?: number;
}
