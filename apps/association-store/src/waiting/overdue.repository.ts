import { execute, query } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import { SCHEMA } from '../schema/migrations.js';

/** Items that one log line names, those that have waited longest. */
const NAMED = 20;

export interface Overdue {
  readonly items: number;
  /** 0 where there is none. */
  readonly oldestSeconds: number;
}

export interface OverdueItem {
  readonly tenant: string;
  readonly orderUid: string;
  readonly itemId: string;
  readonly recipeId: string;
  readonly since: Date;
}

/** Of orders that are not cancelled. */
const OVERDUE = `${SCHEMA}.order_items i JOIN ${SCHEMA}.orders o ON o.order_uid = i.order_uid
  WHERE i.recipe_version IS NULL AND i.item_quantity > 0 AND o.status = 'open' AND o.version > 0
    AND i.created_at < clock_timestamp() - make_interval(secs => $1)`;

/** Counts the items that have waited for their recipe for longer than this. */
export async function countOverdue(dataSource: DataSource, longerThanMs: number): Promise<Overdue> {
  const [row] = await query<{ items: string; age: number | null }>(
    dataSource,
    `SELECT count(*) AS items, extract(epoch FROM clock_timestamp() - min(i.created_at))::float8 AS age
     FROM ${OVERDUE}`,
    [longerThanMs / 1_000],
  );
  return { items: Number(row?.items ?? 0), oldestSeconds: row?.age ?? 0 };
}

/** The longest first. */
export async function longestWaiting(
  dataSource: DataSource,
  longerThanMs: number,
): Promise<readonly OverdueItem[]> {
  return await query<OverdueItem>(
    dataSource,
    `SELECT i.tenant, i.order_uid AS "orderUid", i.item_id AS "itemId", i.recipe_id AS "recipeId",
            i.created_at AS since
     FROM ${OVERDUE} ORDER BY i.created_at LIMIT ${String(NAMED)}`,
    [longerThanMs / 1_000],
  );
}

/**
 * Of all processes that ask, one in each interval is told that it is its turn; also after a restart of all of them.
 */
export async function claimTurn(dataSource: DataSource, job: string, everyMs: number): Promise<boolean> {
  const claimed = await execute(
    dataSource,
    `INSERT INTO ${SCHEMA}.job_turns AS t (job, taken_at) VALUES ($1, clock_timestamp())
     ON CONFLICT (job) DO UPDATE SET taken_at = excluded.taken_at
       WHERE t.taken_at <= excluded.taken_at - make_interval(secs => $2)`,
    [job, everyMs / 1_000],
  );
  return claimed > 0;
}
