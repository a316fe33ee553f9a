import { setTimeout as delay } from 'node:timers/promises';

import type { DataSource } from 'typeorm';

import { identifier } from './identifier.js';
import { execute } from './transaction.js';

export interface Purge {
  /** With its schema. */
  readonly table: string;
  /** SQL over the table's columns; values come as parameters. */
  readonly where: string;
  readonly params: readonly unknown[];
  readonly batchRows?: number;
  /** Between two batches, so that history never stands in the way of new rows. */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Deletes rows in small transactions until none is left. Rows that somebody holds locked are left for the next
 * run.
 *
 * @returns how many rows are gone.
 */
export async function deleteInBatches(dataSource: DataSource, purge: Purge): Promise<number> {
  const { where, params, batchRows = 1_000, pauseMs = 50, signal } = purge;
  const table = identifier(purge.table);
  const statement = `
    DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ${table} WHERE ${where} LIMIT ${String(batchRows)} FOR UPDATE SKIP LOCKED))`;
  for (let total = 0; ;) {
    signal?.throwIfAborted();
    const gone = await execute(dataSource, statement, params);
    total += gone;
    if (gone < batchRows) return total;
    await delay(pauseMs, undefined, signal && { signal });
  }
}
