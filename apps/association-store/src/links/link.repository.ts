import { inTransaction, query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';

import type { OrderChange } from '../orders/order-state.js';
import {
  MAX_EVENTS_BYTES,
  TooMuchAtOnceError,
  lockOrders,
  recipesOf,
  shareRecipes,
  writeOrders,
} from '../orders/order.repository.js';
import { SCHEMA } from '../schema/migrations.js';

import { RECIPE_UPDATES_FOR_MS, foldLinks } from './fold-links.js';

/** Most orders that one transaction locks. Source: architecture, section 3. */
const MAX_ORDERS = 500;
const MAX_RECIPES = 20;

interface DueRow {
  readonly id: string;
  readonly tenant: string;
  readonly recipe_id: string;
  readonly accepted_at: Date;
  readonly traceparent: string | null;
  readonly last_order_uid: string | null;
}

export interface LinkStep {
  /** Whether there may be more to do. */
  readonly more: boolean;
  readonly changes: readonly OrderChange[];
  readonly leftOut: number;
}

/**
 * One step of linking: takes a few due recipes, and of the orders that use them the next ones by uid. Each
 * recipe has its own place and its own share of the step, so that one which 100,000 orders use holds up no
 * other. Restartable at any point; several processes share the recipes.
 */
export async function linkStep(dataSource: DataSource, maxOrders = MAX_ORDERS): Promise<LinkStep> {
  try {
    return await linkSome(dataSource, maxOrders);
  } catch (error) {
    if (!(error instanceof TooMuchAtOnceError)) throw error;
    return await linkStep(dataSource, Math.max(1, Math.floor(maxOrders / 4)));
  }
}

async function linkSome(dataSource: DataSource, maxOrders: number): Promise<LinkStep> {
  return await inTransaction(dataSource, async (tx) => {
    const due = await tx.query<DueRow>(
      `SELECT id, tenant, recipe_id, accepted_at, traceparent, last_order_uid FROM ${SCHEMA}.links_due
       ORDER BY turns, id LIMIT $1 FOR UPDATE SKIP LOCKED`,
      [Math.min(MAX_RECIPES, maxOrders)],
    );
    if (due.length === 0) return { more: false, changes: [], leftOut: 0 };

    const now = new Date();
    const share = Math.floor(maxOrders / due.length);
    const found = await findCandidates(tx, due, share, new Date(now.getTime() - RECIPE_UPDATES_FOR_MS));
    const orderUids = [...new Set(found.map(({ order_uid }) => order_uid))];
    const orders = orderUids.length === 0 ? [] : await lockOrders(tx, orderUids);
    const recipes = await shareRecipes(tx, recipesOf(orders));
    const causes = due.map(({ tenant, recipe_id, accepted_at, traceparent }) => ({
      tenant,
      recipeId: recipe_id,
      acceptedAt: accepted_at.toISOString(),
      traceparent: traceparent ?? undefined,
    }));
    const changes = foldLinks(orders, recipes, causes, now);
    const changedOrders = changes.map(({ order }) => order);
    const writes = { newOrders: [], changedOrders, items: [], changes };
    // What cannot be cut has to pass.
    const maxBytes = maxOrders > 1 ? MAX_EVENTS_BYTES : Infinity;
    const leftOut = writeOrders(tx, writes, recipes, now, maxBytes);

    const places = Map.groupBy(found, ({ due_id }) => due_id);
    const isDone = ({ id }: DueRow): boolean => (places.get(id)?.length ?? 0) < share;
    const done = due.filter(isDone).map(({ id }) => id);
    if (done.length > 0) {
      await tx.execute(`DELETE FROM ${SCHEMA}.links_due WHERE id = ANY ($1::bigint[])`, [done]);
    }
    const open = due.flatMap(({ id }) => {
      const place = places.get(id);
      return place === undefined || place.length < share ? [] : [{ id, last: place.at(-1)?.order_uid }];
    });
    if (open.length > 0) {
      await tx.execute(
        `UPDATE ${SCHEMA}.links_due AS d SET last_order_uid = i.last, turns = d.turns + 1
         FROM json_to_recordset($1) AS i (id bigint, last uuid) WHERE d.id = i.id`,
        [JSON.stringify(open)],
      );
    }
    return { more: open.length > 0 || due.length === MAX_RECIPES, changes, leftOut };
  });
}

/**
 * Orders that may have to be told, next by uid; what is true of them is read again under their locks. Young
 * orders are found by their uids, which sort by time, so that the long history of a recipe is not read.
 */
async function findCandidates(
  tx: Tx,
  due: readonly DueRow[],
  share: number,
  youngerThan: Date,
): Promise<{ due_id: string; order_uid: string }[]> {
  return await tx.query(
    `SELECT d.id AS due_id, o.order_uid
     FROM ${SCHEMA}.links_due d
     JOIN ${SCHEMA}.recipes r ON r.tenant = d.tenant AND r.recipe_id = d.recipe_id
     CROSS JOIN LATERAL (
       (SELECT DISTINCT i.order_uid FROM ${SCHEMA}.order_items i
        WHERE i.tenant = d.tenant AND i.recipe_id = d.recipe_id
          AND i.recipe_version IS NULL AND i.item_quantity > 0
          AND i.order_uid > coalesce(d.last_order_uid, $3::uuid)
        ORDER BY i.order_uid LIMIT $2)
       UNION
       (SELECT DISTINCT i.order_uid
        FROM ${SCHEMA}.order_items i JOIN ${SCHEMA}.orders o ON o.order_uid = i.order_uid
        WHERE i.tenant = d.tenant AND i.recipe_id = d.recipe_id
          AND i.recipe_version < r.version AND i.item_quantity > 0 AND o.status = 'open'
          AND i.order_uid > greatest(d.last_order_uid, $4::uuid)
        ORDER BY i.order_uid LIMIT $2)
       ORDER BY order_uid LIMIT $2
     ) AS o
     WHERE d.id = ANY ($1::bigint[])
     ORDER BY d.id, o.order_uid`,
    [due.map(({ id }) => id), share, NO_UID, firstUidAt(youngerThan)],
  );
}

const NO_UID = '00000000-0000-0000-0000-000000000000';

/** Below every UUIDv7 that was made at this time or later. */
function firstUidAt(time: Date): string {
  const ms = time.getTime().toString(16).padStart(12, '0');
  return `${ms.slice(0, 8)}-${ms.slice(8)}-0000-0000-000000000000`;
}

export interface Waiting {
  readonly waitingItems: number;
  readonly oldestWaitingSeconds: number;
  readonly missedLinks: number;
  readonly linksDue: number;
}

/**
 * Counts what waits for its recipe, and queues a link for what waits although the recipe has been there for a
 * while and nothing is due for it. That must never happen; should it happen, nobody waits for ever.
 */
export async function sweepLinks(dataSource: DataSource, graceMs = 60_000): Promise<Waiting> {
  const [counts] = await query<{ items: string; age: string | null; due: string }>(
    dataSource,
    `SELECT count(*) AS items, extract(epoch FROM clock_timestamp() - min(created_at)) AS age,
            (SELECT count(*) FROM ${SCHEMA}.links_due) AS due
     FROM ${SCHEMA}.order_items WHERE recipe_version IS NULL AND item_quantity > 0`,
  );
  const missed = await query<{ tenant: string; recipe_id: string; items: number }>(
    dataSource,
    `WITH missed AS (
       SELECT i.tenant, i.recipe_id, count(*)::integer AS items
       FROM ${SCHEMA}.order_items i
       JOIN ${SCHEMA}.recipes r ON r.tenant = i.tenant AND r.recipe_id = i.recipe_id
       WHERE i.recipe_version IS NULL AND i.item_quantity > 0 AND r.version > 0
         AND r.updated_at < clock_timestamp() - make_interval(secs => $1)
         AND NOT EXISTS (SELECT FROM ${SCHEMA}.links_due d
                         WHERE d.tenant = i.tenant AND d.recipe_id = i.recipe_id)
       GROUP BY i.tenant, i.recipe_id
     ), queued AS (
       INSERT INTO ${SCHEMA}.links_due (tenant, recipe_id, accepted_at, created_at)
       SELECT v.tenant, v.recipe_id, v.accepted_at, clock_timestamp()
       FROM missed m JOIN ${SCHEMA}.recipes r ON r.tenant = m.tenant AND r.recipe_id = m.recipe_id
       JOIN ${SCHEMA}.recipe_versions v
         ON v.tenant = r.tenant AND v.recipe_id = r.recipe_id AND v.version = r.version
     )
     SELECT * FROM missed`,
    [graceMs / 1_000],
  );
  return {
    waitingItems: Number(counts?.items ?? 0),
    oldestWaitingSeconds: Number(counts?.age ?? 0),
    linksDue: Number(counts?.due ?? 0),
    missedLinks: missed.reduce((sum, { items }) => sum + items, 0),
  };
}
