import type { SftpSettings } from '@heddle/contracts';

/** What the worker needs of one connection, and nothing more. Paths use `/`. Errors are untranslated. */
export interface SftpConnection {
  /** As `ssh-keygen -l` prints it. */
  readonly hostKey: string;
  /** The server replaces an existing file in one step (`posix-rename@openssh.com`). */
  readonly canReplace: boolean;

  /** Creates or empties the file and resolves with what the open handle says of its size when all is written. */
  write(path: string, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<number | undefined>;
  sizeOf(path: string, signal: AbortSignal): Promise<number>;
  /** Puts `from` in the place of `to`, whether that exists or not. Needs `canReplace`. */
  replace(from: string, to: string, signal: AbortSignal): Promise<void>;
  /** Fails where `to` exists. */
  rename(from: string, to: string, signal: AbortSignal): Promise<void>;
  remove(path: string, signal: AbortSignal): Promise<void>;
  /** One level; fails where it exists. */
  makeDirectory(path: string, signal: AbortSignal): Promise<void>;
  /** Left for us on the file system of `path`. Undefined: the server does not say. */
  freeBytes(path: string, signal: AbortSignal): Promise<number | undefined>;
}

/** A connection in use. */
export interface SftpLease {
  readonly connection: SftpConnection;
  /** It was open before: the server may have closed it unnoticed. */
  readonly isReused: boolean;
  release(): void;
}

/** Connections are kept by every setting that changes them, credentials included. */
export interface SftpConnections {
  acquire(integrationId: string, settings: SftpSettings, signal: AbortSignal): Promise<SftpLease>;
  close(): Promise<void>;
}

export const SFTP_FAULTS = [
  'SFTP_CLOSED',
  'SFTP_SILENT',
  'SFTP_HOST_KEY',
  'SFTP_SETTINGS',
  'SFTP_SIZE',
] as const;

/** What goes wrong around a connection and has no code of the vendor. */
export class SftpFault extends Error {
  override readonly name = 'SftpFault';

  constructor(
    readonly code: (typeof SFTP_FAULTS)[number],
    options?: ErrorOptions,
  ) {
    super(code, options);
  }
}
