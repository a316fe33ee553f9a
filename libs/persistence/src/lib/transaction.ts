import type { ClientBase, PoolClient, QueryResult } from 'pg';
import type { DataSource } from 'typeorm';

import { poolOf } from './data-source.js';
import { DatabaseError, toDatabaseError } from './database-error.js';

/** Statements of one transaction. Every rejection is a {@link DatabaseError}. */
export interface Tx {
  query<T>(sql: string, params?: readonly unknown[]): Promise<T[]>;
  /** @returns the number of rows that the statement touched. */
  execute(sql: string, params?: readonly unknown[]): Promise<number>;
  /**
   * Sends a statement and does not wait for it: the next one, or the commit, goes out right behind. Where it fails,
   * the transaction fails with its error.
   */
  post(sql: string, params?: readonly unknown[]): void;
}

/**
 * Runs `work` in one transaction: all of it is committed when this resolves; nothing when it rejects, unless
 * the connection is lost during the commit itself, when nobody can tell. The connection is given back on
 * every path, and closed when it is no longer good for anybody.
 *
 * Statements are answered in the order in which they are sent, also those sent without waiting for the one before:
 * what does not need an earlier answer costs no round trip of its own.
 *
 * @throws {DatabaseError} of PostgreSQL, or whatever `work` throws.
 */
export async function inTransaction<T>(dataSource: DataSource, work: (tx: Tx) => T | Promise<T>): Promise<T> {
  return await withConnection(dataSource, async (client, discard) => {
    const tx = new OpenTransaction(client);
    tx.post('BEGIN');
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      tx.close();
      await run(client, 'ROLLBACK').catch(discard);
      // What was raised later may only say that the transaction had failed before.
      throw tx.fault ?? error;
    }
    tx.close();
    const { command } = await run(client, 'COMMIT').catch((error: unknown) => {
      throw tx.fault ?? error;
    });
    if (tx.fault !== undefined) throw tx.fault;
    // The server answers a COMMIT after a failed statement with ROLLBACK, and without an error.
    if (command !== 'COMMIT')
      throw new DatabaseError('committing after a statement failed', 'transient', '25P02');
    return result;
  });
}

/** One statement by itself. */
export async function query<T>(
  dataSource: DataSource,
  sql: string,
  params?: readonly unknown[],
): Promise<T[]> {
  return await withConnection(dataSource, async (client) => (await run(client, sql, params)).rows as T[]);
}

/**
 * Statements of this transaction are planned for their parameters, each time. For lists, counts and reports with
 * filters: which index is best depends on what is asked for, and rare things must not be looked for in a whole history.
 */
export function planForParameters(tx: Tx): void {
  tx.post('SET LOCAL plan_cache_mode = force_custom_plan');
}

/** One statement by itself, planned for its parameters: {@link planForParameters}. */
export async function search<T>(
  dataSource: DataSource,
  sql: string,
  params?: readonly unknown[],
): Promise<T[]> {
  return await inTransaction(dataSource, async (tx) => {
    planForParameters(tx);
    return await tx.query<T>(sql, params);
  });
}

const QUERY_CANCELED = '57014';

/**
 * One statement by itself that may only take so long.
 *
 * @returns undefined when it took longer.
 */
export async function queryWithin<T>(
  dataSource: DataSource,
  withinMs: number,
  sql: string,
  params?: readonly unknown[],
): Promise<T[] | undefined> {
  try {
    return await inTransaction(dataSource, async (tx) => {
      tx.post(`SET LOCAL statement_timeout = ${String(Math.trunc(withinMs))}`);
      return await tx.query<T>(sql, params);
    });
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlState === QUERY_CANCELED) return undefined;
    throw error;
  }
}

/** One statement by itself. @returns the number of rows that it touched. */
export async function execute(
  dataSource: DataSource,
  sql: string,
  params?: readonly unknown[],
): Promise<number> {
  return await withConnection(dataSource, async (client) => (await run(client, sql, params)).rowCount ?? 0);
}

class OpenTransaction implements Tx {
  /** Of the first posted statement that failed. */
  fault: DatabaseError | undefined;
  private open = true;

  constructor(private readonly client: ClientBase) {}

  async query<T>(sql: string, params?: readonly unknown[]): Promise<T[]> {
    return (await this.run(sql, params)).rows as T[];
  }

  async execute(sql: string, params?: readonly unknown[]): Promise<number> {
    return (await this.run(sql, params)).rowCount ?? 0;
  }

  post(sql: string, params?: readonly unknown[]): void {
    this.run(sql, params).catch((error: unknown) => {
      this.fault ??= toDatabaseError(error);
    });
  }

  /** From here on a statement that somebody forgot to wait for cannot run in the next one's transaction. */
  close(): void {
    this.open = false;
  }

  private async run(sql: string, params: readonly unknown[] | undefined): Promise<QueryResult> {
    if (!this.open) throw new TypeError('using a transaction after its end');
    return await run(this.client, sql, params);
  }
}

async function withConnection<T>(
  dataSource: DataSource,
  work: (client: PoolClient, discard: (error: Error) => void) => Promise<T>,
): Promise<T> {
  let client: PoolClient;
  try {
    client = await poolOf(dataSource).connect();
  } catch (error) {
    throw toDatabaseError(error, 'connecting to PostgreSQL');
  }
  let broken: Error | undefined;
  // A connection that dies between two statements says so by an event, and an event without a listener ends
  // the process.
  const discard = (error: Error): void => {
    broken ??= error;
  };
  client.on('error', discard);
  try {
    return await work(client, discard);
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlState === undefined) discard(error);
    throw error;
  } finally {
    // Released first: the pool's own listener has to be there before ours goes.
    client.release(broken);
    client.off('error', discard);
  }
}

async function run(client: ClientBase, sql: string, params?: readonly unknown[]): Promise<QueryResult> {
  try {
    const result: QueryResult | QueryResult[] = await client.query(sql, params as unknown[] | undefined);
    // Several statements without parameters answer with several results.
    return Array.isArray(result) ? (result.at(-1) as QueryResult) : result;
  } catch (error) {
    throw toDatabaseError(error);
  }
}
