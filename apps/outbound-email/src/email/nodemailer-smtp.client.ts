import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import type { AddressGuard } from '@heddle/destination-kit';
import SMTPConnection from 'nodemailer/lib/smtp-connection';

import type { SmtpServer } from '../config.js';

import { SmtpFault } from './smtp.client.js';
import type { OutgoingMail, SentMail, SmtpClient } from './smtp.client.js';
import { isConnectionLoss, isTooLarge, refusalsOf } from './smtp.error.js';
import { SmtpPool } from './smtp-pool.js';

export interface NodemailerOptions {
  readonly server: SmtpServer;
  /** Nothing is sent before STARTTLS. */
  readonly requireTls: boolean;
  readonly connections: number;
  readonly mailsPerConnection: number;
  /** 0: no limit. */
  readonly perSecond: number;
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  /** Instead of the silence, once the server has a whole mail: then it looks into it. */
  readonly answerTimeoutMs: number;
}

/**
 * Sends mails through nodemailer, over connections that the guard has opened.
 *
 * Below nodemailer's own transports, which cannot be told to stop: an attempt that has to end takes its connection
 * with it, and a message that has not been ended is no message to the server.
 */
export class NodemailerSmtpClient implements SmtpClient {
  private readonly pool: SmtpPool<Connection>;
  /** `performance.now()` at which the next mail may go out. */
  private nextAt = 0;
  /** Of the connection that was opened last; undefined: the server is to be asked. */
  private announcedBytes: number | undefined;

  constructor(private readonly options: NodemailerOptions) {
    this.pool = new SmtpPool({
      connections: options.connections,
      mailsPerConnection: options.mailsPerConnection,
      open: async (onClose, signal) => {
        const connection = await Connection.open(options, onClose, signal);
        this.announcedBytes = connection.maxMailBytes;
        return connection;
      },
    });
  }

  get size(): number {
    return this.pool.size;
  }

  async maxMailBytes(signal: AbortSignal): Promise<number> {
    if (this.announcedBytes === undefined) (await this.pool.acquire(signal)).giveBack();
    return this.announcedBytes ?? Infinity;
  }

  async send(mail: OutgoingMail, signal: AbortSignal): Promise<SentMail> {
    await this.turn(signal);
    for (let isRepetition = false; ; isRepetition = true) {
      const lease = await this.pool.acquire(signal);
      const progress = { hasBegun: false };
      try {
        const sent = await lease.connection.send(mail, signal, progress);
        lease.giveBack();
        return sent;
      } catch (error) {
        lease.discard();
        if (signal.aborted) throw signal.reason;
        // It takes less by now than it has said where the connection began.
        if (lease.isReused && isTooLarge(error)) {
          this.announcedBytes = undefined;
          this.pool.retire();
        }
        // A kept connection may have died unnoticed. Before the message has begun nobody has a part of it.
        const isStale = lease.isReused && !progress.hasBegun && isConnectionLoss(error);
        if (!isStale || isRepetition) throw error;
      }
    }
  }

  close(): Promise<void> {
    this.pool.close();
    return Promise.resolve();
  }

  private async turn(signal: AbortSignal): Promise<void> {
    const { perSecond } = this.options;
    if (perSecond === 0) return;
    const now = performance.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + 1_000 / perSecond;
    if (at > now) await delay(at - now, undefined, { signal });
  }
}

/** One connection, logged in. */
class Connection {
  private failure: unknown;
  /** As the server has announced it. */
  maxMailBytes = Infinity;

  private constructor(
    private readonly smtp: SMTPConnection,
    /** Below TLS, where there is any: what passes there counts as well. */
    private readonly socket: Socket,
    private readonly timeouts: Pick<NodemailerOptions, 'silenceTimeoutMs' | 'answerTimeoutMs'>,
  ) {}

  static async open(
    options: NodemailerOptions,
    onClose: () => void,
    signal: AbortSignal,
  ): Promise<Connection> {
    const { server, requireTls, guard, connectTimeoutMs, silenceTimeoutMs, answerTimeoutMs } = options;
    const { host, port, secure, login } = server;
    const socket = await guard.connect(
      { scheme: 'smtp', host, port },
      { timeoutMs: connectTimeoutMs, signal },
    );
    const smtp = new SMTPConnection({
      host,
      port,
      secure,
      requireTLS: requireTls && !secure,
      connection: socket,
      greetingTimeout: connectTimeoutMs,
      // Of the last resort: it knows of no phases.
      socketTimeout: Math.max(silenceTimeoutMs, answerTimeoutMs),
      // Whoever is given up is not waited for.
      socketCloseTimeout: 0,
    });
    const connection = new Connection(smtp, socket, options);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    smtp.on('error', (error: Error) => {
      connection.failure ??= error;
      failed.reject(error);
    });
    smtp.once('end', () => {
      failed.reject(new SmtpFault('SMTP_CLOSED'));
      onClose();
    });
    const stop = (): void => failed.reject(signal.reason as Error);
    const timer = setTimeout(() => failed.reject(new SmtpFault('SMTP_SILENT')), connectTimeoutMs);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      await Promise.race([failed.promise, greet(smtp)]);
      connection.maxMailBytes = announcedBytes(smtp.lastServerResponse);
      if (login) await Promise.race([failed.promise, logIn(smtp, login)]);
      socket.on('timeout', () => smtp.close());
      socket.setTimeout(silenceTimeoutMs);
      return connection;
    } catch (error) {
      smtp.close();
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  async send(mail: OutgoingMail, signal: AbortSignal, progress: { hasBegun: boolean }): Promise<SentMail> {
    const message = mail.open();
    const { socket, smtp, timeouts } = this;
    message.once('resume', () => {
      progress.hasBegun = true;
    });
    message.once('end', () => socket.setTimeout(timeouts.answerTimeoutMs));
    return await new Promise((resolve, reject) => {
      const giveUp = (reason: Error): void => {
        message.destroy();
        smtp.close();
        reject(reason);
      };
      const stop = (): void => giveUp(signal.reason as Error);
      const silent = (): void => giveUp(new SmtpFault('SMTP_SILENT'));
      if (signal.aborted) {
        stop();
        return;
      }
      signal.addEventListener('abort', stop, { once: true });
      socket.prependOnceListener('timeout', silent);
      const envelope = { from: mail.from, to: [...mail.to], size: mail.sizeBytes };
      smtp.send(envelope, message, (error, info) => {
        signal.removeEventListener('abort', stop);
        socket.removeListener('timeout', silent);
        socket.setTimeout(timeouts.silenceTimeoutMs);
        if (!error) {
          resolve({ refused: refusalsOf(info.rejectedErrors) });
          return;
        }
        message.destroy();
        reject(error);
      });
    });
  }

  end(): void {
    this.smtp.close();
  }
}

function greet(smtp: SMTPConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    smtp.connect((error) => (error ? reject(error) : resolve()));
  });
}

/** Largest mail by the answer to EHLO; 0 says that there is no limit. Source: RFC 1870, section 3. */
function announcedBytes(answer: string | false): number {
  const [, bytes = '0'] = /^250[ -]SIZE[ \t]+(\d{1,15})/im.exec(answer === false ? '' : answer) ?? [];
  return Number(bytes) || Infinity;
}

function logIn(smtp: SMTPConnection, { user, password }: { user: string; password: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    smtp.login({ credentials: { user, pass: password } }, (error) => (error ? reject(error) : resolve()));
  });
}
