import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';

import type { SftpSettings } from '@heddle/contracts';
import type { AddressGuard } from '@heddle/destination-kit';
import type { Client, SFTPWrapper } from 'ssh2';
import SftpClient from 'ssh2-sftp-client';

import { SftpFault } from './sftp.client.js';
import type { SftpConnection } from './sftp.client.js';

export interface Ssh2Options {
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

/** The least that every server takes in one packet. Source: draft-ietf-secsh-filexfer-02, section 3. */
const WRITE_BYTES = 32_768;
/** Written ahead of the server's answers, so that a far server is kept busy: 1 MiB. */
const WRITES_AHEAD = 32;
const KEEPALIVE_MS = 15_000;

/** What ssh2 knows of the server; it is not in its types. */
interface Extensions {
  readonly _extensions?: Readonly<Record<string, string>>;
}
type Callback<T> = (error: Error | null | undefined, value: T) => void;

/** One connection through ssh2. No decisions: errors go out as they come. */
export class Ssh2SftpConnection implements SftpConnection {
  readonly canReplace: boolean;
  private readonly canTellSpace: boolean;

  private constructor(
    readonly hostKey: string,
    private readonly sftp: SFTPWrapper,
    private readonly silenceTimeoutMs: number,
    private readonly destroy: () => void,
    private readonly closed: AbortSignal,
  ) {
    const extensions = (sftp as Extensions)._extensions ?? {};
    this.canReplace = extensions['posix-rename@openssh.com'] === '1';
    this.canTellSpace = extensions['statvfs@openssh.com'] !== undefined;
  }

  /** @param onClose the connection is gone, for whatever reason. */
  static async open(
    settings: SftpSettings,
    { guard, connectTimeoutMs, silenceTimeoutMs }: Ssh2Options,
    onClose: () => void,
  ): Promise<Ssh2SftpConnection> {
    const { host, port, username } = settings;
    const socket = await guard.connect({ scheme: 'sftp', host, port }, { timeoutMs: connectTimeoutMs });
    gatherWrites(socket);

    const closed = new AbortController();
    const close = (): void => {
      if (closed.signal.aborted) return;
      closed.abort(new SftpFault('SFTP_CLOSED'));
      onClose();
    };
    const ignore = { error: () => undefined, end: () => undefined, close: () => undefined };
    const sftpClient = new SftpClient('heddle', ignore);
    const { client } = sftpClient as unknown as { readonly client: Client };
    let cause: unknown;
    client.on('error', (error) => (cause ??= error));
    client.on('close', close);
    socket.on('close', close);
    const password = settings['password-secret'];
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) => {
      answer(prompts.map(() => password ?? ''));
    });

    let hostKey = '';
    const timer = setTimeout(() => {
      cause ??= new SftpFault('SFTP_SILENT');
      socket.destroy();
    }, connectTimeoutMs);
    try {
      const sftp = await sftpClient.connect({
        sock: socket,
        username,
        ...(password !== undefined && { password, tryKeyboard: true }),
        ...(settings['private-key-secret'] !== undefined && { privateKey: settings['private-key-secret'] }),
        ...(settings['passphrase-secret'] !== undefined && { passphrase: settings['passphrase-secret'] }),
        hostVerifier: (key: Buffer) => {
          hostKey = fingerprintOf(key);
          const isPinned = hostKey === settings['host-key-sha256'].replace(/=$/, '');
          if (!isPinned) cause = new SftpFault('SFTP_HOST_KEY');
          return isPinned;
        },
        readyTimeout: connectTimeoutMs,
        keepaliveInterval: KEEPALIVE_MS,
        keepaliveCountMax: 2,
      });
      const destroy = (): void => {
        socket.destroy();
        close();
      };
      // An error of the channel ends its requests; without a listener it would end the process.
      sftp.on('error', destroy);
      return new Ssh2SftpConnection(hostKey, sftp, silenceTimeoutMs, destroy, closed.signal);
    } catch (error) {
      socket.destroy();
      throw connectErrorOf(cause, error);
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    this.destroy();
  }

  async write(
    path: string,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const handle = await this.call<Buffer>((done) => this.sftp.open(path, 'w', done), signal);
    try {
      await this.writeAll(handle, bytes, signal);
    } catch (error) {
      if (!this.closed.aborted) this.sftp.close(handle, () => undefined);
      throw error;
    }
    // Sent together: the server answers them in turn.
    const size = this.call<{ readonly size: number }>((done) => this.sftp.fstat(handle, done), signal).then(
      (stats) => stats.size,
      () => undefined,
    );
    await this.tell((done) => this.sftp.close(handle, done), signal);
    return await size;
  }

  async sizeOf(path: string, signal: AbortSignal): Promise<number> {
    return (await this.call<{ readonly size: number }>((done) => this.sftp.stat(path, done), signal)).size;
  }

  async replace(from: string, to: string, signal: AbortSignal): Promise<void> {
    await this.tell((done) => this.sftp.ext_openssh_rename(from, to, done), signal);
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    await this.tell((done) => this.sftp.rename(from, to, done), signal);
  }

  async remove(path: string, signal: AbortSignal): Promise<void> {
    await this.tell((done) => this.sftp.unlink(path, done), signal);
  }

  async makeDirectory(path: string, signal: AbortSignal): Promise<void> {
    await this.tell((done) => this.sftp.mkdir(path, done), signal);
  }

  async freeBytes(path: string, signal: AbortSignal): Promise<number | undefined> {
    if (!this.canTellSpace) return undefined;
    const { f_bavail: blocks, f_frsize: size } = await this.call<{
      f_bavail: number | bigint;
      f_frsize: number | bigint;
    }>((done) => this.sftp.ext_openssh_statvfs(path, done as Callback<unknown>), signal);
    return Number(blocks) * Number(size);
  }

  private writeAll(handle: Buffer, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    let pending = 0;
    let position = 0;
    let wake: (() => void) | undefined;
    const silence = setTimeout(() => {
      // While nothing is under way it is our own source that is slow.
      if (pending === 0) return void silence.refresh();
      failed.reject(new SftpFault('SFTP_SILENT'));
      this.destroy();
    }, this.silenceTimeoutMs);
    const stop = (): void => failed.reject(reasonOf(signal));
    const lost = (): void => failed.reject(reasonOf(this.closed));
    const belowAhead = async (limit: number): Promise<void> => {
      while (pending > limit) {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        wake = () => resolve(undefined);
        await promise;
      }
    };
    const writing = async (): Promise<void> => {
      for await (const chunk of bytes) {
        const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        for (let offset = 0; offset < buffer.length; offset += WRITE_BYTES) {
          await belowAhead(WRITES_AHEAD - 1);
          if (signal.aborted || this.closed.aborted) return;
          const length = Math.min(WRITE_BYTES, buffer.length - offset);
          pending += 1;
          this.sftp.write(handle, buffer, offset, length, position, (error) => {
            pending -= 1;
            silence.refresh();
            if (error) failed.reject(error);
            wake?.();
          });
          position += length;
        }
      }
      await belowAhead(0);
    };

    if (signal.aborted) stop();
    if (this.closed.aborted) lost();
    signal.addEventListener('abort', stop, { once: true });
    this.closed.addEventListener('abort', lost, { once: true });
    const written = writing();
    written.catch(() => undefined);
    return Promise.race([failed.promise, written]).finally(() => {
      clearTimeout(silence);
      signal.removeEventListener('abort', stop);
      this.closed.removeEventListener('abort', lost);
    });
  }

  private tell(
    send: (done: (error?: Error | null) => void) => void,
    signal: AbortSignal,
  ): Promise<undefined> {
    return this.call<undefined>((done) => send((error) => done(error, undefined)), signal);
  }

  /** One request with its deadline. A server that does not answer one will not answer the next: the connection goes. */
  private call<T>(send: (done: Callback<T>) => void, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
        this.closed.removeEventListener('abort', lost);
        act();
      };
      const stop = (): void => settle(() => reject(reasonOf(signal)));
      const lost = (): void => settle(() => reject(reasonOf(this.closed)));
      const timer = setTimeout(() => {
        settle(() => reject(new SftpFault('SFTP_SILENT')));
        this.destroy();
      }, this.silenceTimeoutMs);
      if (signal.aborted) {
        stop();
        return;
      }
      if (this.closed.aborted) {
        lost();
        return;
      }
      signal.addEventListener('abort', stop, { once: true });
      this.closed.addEventListener('abort', lost, { once: true });
      try {
        send((error, value) => settle(() => (error ? reject(error) : resolve(value))));
      } catch (error) {
        settle(() => reject(error instanceof Error ? error : new Error(String(error))));
      }
    });
  }
}

/** Packets of one turn of the event loop leave together: ssh2 makes a system call for each. */
function gatherWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let isGathering = false;
  const gathered = (...args: unknown[]): boolean => {
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(() => {
        isGathering = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
  socket.write = gathered;
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The client wraps what ssh2 says and loses its level, so the first thing heard counts. */
function connectErrorOf(cause: unknown, error: unknown): unknown {
  if (cause !== undefined) return cause;
  // Thrown before anything is sent: a key that cannot be read, a wrong passphrase.
  if (error instanceof Error && /privateKey|passphrase/i.test(error.message)) {
    return new SftpFault('SFTP_SETTINGS', { cause: new Error('the private key cannot be read') });
  }
  return new SftpFault('SFTP_CLOSED', { cause: error });
}
