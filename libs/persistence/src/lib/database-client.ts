import type { Socket } from 'node:net';

import pg from 'pg';
import type { ClientConfig } from 'pg';

/** How long the database may keep us waiting, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000;
export const LOCK_TIMEOUT_MS = 5_000;
export const STATEMENT_TIMEOUT_MS = 15_000;
export const IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000;
/** Longer than the server's own limit, for a server that cannot hold it any more: stopped, or out of reach. */
export const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 3_000;

/**
 * A connection that does not outlive a statement without an answer. pg itself only rejects the promise; the
 * connection would go back to the pool with the old statement still running, and each next one behind it.
 */
export class DatabaseClient extends pg.Client {
  private isGathering = false;

  constructor(config?: string | ClientConfig) {
    super(config);
    // The overloads of query() make an override unreadable, and all of them end here.
    const query = this.query.bind(this) as (...args: unknown[]) => unknown;
    const guarded = (...args: unknown[]): unknown => {
      this.gather();
      const result = query(...args);
      if (result instanceof Promise) {
        result.catch((error: unknown) => {
          if (error instanceof Error && error.message === 'Query read timeout') this.destroy();
        });
      }
      return result;
    };
    this.query = guarded as typeof this.query;
  }

  /** Ends the connection without a word to the server. */
  destroy(): void {
    this.stream.destroy();
  }

  /** Statements of one turn of the event loop leave in one packet: a system call costs more than most of them. */
  private gather(): void {
    if (this.isGathering) return;
    this.isGathering = true;
    const { stream } = this;
    stream.cork();
    process.nextTick(() => {
      this.isGathering = false;
      stream.uncork();
    });
  }

  private get stream(): Socket {
    return (this as unknown as { connection: { stream: Socket } }).connection.stream;
  }
}

export function clientLimits(): ClientConfig {
  return {
    // A statement is sent while the one before is still being answered.
    ...{ pipeline: true },
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
  };
}

/** Start-up options of a session, in the form that PostgreSQL takes them. */
export function sessionOptions(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${String(value)}`)
    .join(' ');
}
