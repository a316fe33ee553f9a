import type { StoreStatus } from '@heddle/contracts';
import { queryWithin } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import type { Reader } from '../orders/order.queries.js';
import { SCHEMA } from '../schema/migrations.js';

/** Whoever asks how the hub does should not make it do worse. */
const COUNT_WITHIN_MS = 2_000;

export async function countWaiting(
  dataSource: DataSource,
  { tenant, channel }: Reader,
): Promise<StoreStatus['waitingForRecipe']> {
  const rows = await queryWithin<{ items: number; oldest: Date | null }>(
    dataSource,
    COUNT_WITHIN_MS,
    `SELECT count(*)::int AS items, min(i.created_at) AS oldest
     FROM ${SCHEMA}.order_items i JOIN ${SCHEMA}.orders o ON o.order_uid = i.order_uid
     WHERE i.tenant = $1 AND i.recipe_version IS NULL AND i.item_quantity > 0
       AND o.status = 'open' AND o.version > 0 AND ($2::text IS NULL OR o.channel = $2)`,
    [tenant, channel ?? null],
  );
  const [row] = rows ?? [];
  return row === undefined ? null : { items: row.items, oldestAt: row.oldest?.toISOString() ?? null };
}
