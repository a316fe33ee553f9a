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
 * Plans older than this are made anew on a connection that is in use. A plan that was made for an empty table reads all of it, and the tables of a new
 * installation grow by thousands of rows a second; PostgreSQL itself looks again only after the next ANALYZE.
 */
const PLANS_MAX_AGE_MS = 2_000;
/** Statements since then that make a connection one in use. */
const IN_USE = 100;
/** On one that is not, this old: looking every second whether there is something to do makes no table grow. */
const IDLE_PLANS_MAX_AGE_MS = 30_000;
/** Texts of statements that one connection keeps prepared: Heddle has about two hundred, lists with filters add a few. */
const MAX_PREPARED = 500;
/** Without parameters a text may also be a script, which cannot be prepared. */
const READ = /^\s*(?:SELECT|WITH)\b[^;]*$/;
/** A migration changed what a prepared statement returns; a pooler between us lost it. */
const UNPREPARED: ReadonlySet<unknown> = new Set(['0A000', '26000']);

/**
 * A connection that does not outlive a statement without an answer, and prepares each statement with parameters once: to
 * plan took as long as to execute, a third of what PostgreSQL did for an order.
 *
 * pg itself only rejects the promise of a statement without an answer; the connection would go back to the pool with
 * the old statement still running, and each next one behind it.
 */
export class DatabaseClient extends pg.Client {
  private isGathering = false;
  private readonly prepared = new Map<string, string>();
  private names = 0;
  private plannedAt = performance.now();
  private usesOfPlans = 0;

  constructor(config?: string | ClientConfig) {
    super(config);
    // The overloads of query() make an override unreadable, and all of them end here.
    const query = this.query.bind(this) as (...args: unknown[]) => unknown;
    const guarded = (...args: unknown[]): unknown => {
      this.gather();
      const [text, values, ...rest] = args;
      const hasValues = Array.isArray(values) && values.length > 0;
      const isPrepared = typeof text === 'string' && (hasValues || READ.test(text));
      const name = isPrepared ? this.nameOf(text) : undefined;
      if (!isPrepared || name === undefined) return this.guard(query(...args));
      this.renewPlans(query);
      return this.guard(query({ name, text, values }, ...rest), text);
    };
    this.query = guarded as typeof this.query;
  }

  /** Ends the connection without a word to the server. */
  destroy(): void {
    this.stream.destroy();
  }

  private guard(result: unknown, text?: string): unknown {
    if (result instanceof Promise) {
      result.catch((error: unknown) => {
        if (!(error instanceof Error)) return;
        if (error.message === 'Query read timeout') this.destroy();
        // The next try prepares it anew, under another name.
        if (text !== undefined && UNPREPARED.has((error as { code?: unknown }).code))
          this.prepared.delete(text);
      });
    }
    return result;
  }

  /** Undefined for one that is not to be prepared. */
  private nameOf(text: string): string | undefined {
    const known = this.prepared.get(text);
    if (known !== undefined || this.names >= MAX_PREPARED) return known;
    this.names += 1;
    const name = `s${String(this.names)}`;
    this.prepared.set(text, name);
    return name;
  }

  private renewPlans(query: (text: string) => unknown): void {
    this.usesOfPlans += 1;
    const now = performance.now();
    const maxAgeMs = this.usesOfPlans < IN_USE ? IDLE_PLANS_MAX_AGE_MS : PLANS_MAX_AGE_MS;
    if (now - this.plannedAt < maxAgeMs) return;
    this.plannedAt = now;
    this.usesOfPlans = 0;
    // In a transaction that has failed it fails as well, and is not needed any more.
    (query('DISCARD PLANS') as Promise<unknown>).catch(() => undefined);
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
