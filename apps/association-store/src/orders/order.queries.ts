import type {
  ChosenOrdersQuery,
  ManifestFile,
  OrderVersion,
  OrderView,
  OrderWithVersions,
  StoredOrdersQuery,
} from '@heddle/contracts';
import { decodeCursor, inTransaction, planForParameters, toPage } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { z } from 'zod';

import { SCHEMA } from '../schema/migrations.js';

import { recipeOf } from './order-document.js';

/** Whose orders are read: of a tenant, and of one shop where the key serves one. */
export interface Reader {
  readonly tenant: string;
  readonly channel: string | undefined;
}

interface ViewRow extends Omit<OrderView, 'items' | 'acceptedAt' | 'updatedAt' | 'waitingSince'> {
  readonly acceptedAt: Date;
  readonly updatedAt: Date;
}

const VIEW_COLUMNS = `o.order_uid AS "orderUid", o.tenant, o.channel, o.order_number AS "orderNumber",
  o.order_id AS "orderId", o.status, o.version, o.reason, o.cancel_reason AS "cancelReason",
  o.accepted_at AS "acceptedAt", o.updated_at AS "updatedAt"`;

type OrderFilters = Omit<StoredOrdersQuery, 'limit' | 'cursor'>;

const Position = z.tuple([z.uuid()]);

/**
 * One page of orders, the last created first. Orders do not move in this list when they change, so a walk
 * through it meets each order once, whatever happens meanwhile. Three statements for any page, in one snapshot.
 */
export async function listOrders(
  dataSource: DataSource,
  reader: Reader,
  { limit, cursor, ...filters }: StoredOrdersQuery,
): Promise<{ items: OrderView[]; nextCursor: string | null }> {
  const bound = { list: 'orders', ...reader, filters };
  const after = cursor === undefined ? undefined : decodeCursor(cursor, bound, Position)[0];
  const { where, params } = conditions(reader, filters, after);
  return await readOnly(dataSource, async (tx) => {
    const rows = await tx.query<ViewRow>(
      `SELECT ${VIEW_COLUMNS} FROM ${SCHEMA}.orders o WHERE ${where}
       ORDER BY o.order_uid DESC LIMIT $${String(params.length + 1)}`,
      [...params, limit + 1],
    );
    const page = toPage(rows, { limit, filters: bound, positionOf: ({ orderUid }) => [orderUid] });
    return { items: await withItems(tx, page.items), nextCursor: page.nextCursor };
  });
}

/** Those of the named orders that the filters let through, the last created first. */
export async function chosenOrders(
  dataSource: DataSource,
  reader: Reader,
  { orderUids, ...filters }: ChosenOrdersQuery,
): Promise<OrderView[]> {
  const { where, params } = conditions(reader, filters);
  return await readOnly(dataSource, async (tx) => {
    const rows = await tx.query<ViewRow>(
      `SELECT ${VIEW_COLUMNS} FROM ${SCHEMA}.orders o
       WHERE ${where} AND o.order_uid = ANY ($${String(params.length + 1)}::uuid[]) ORDER BY o.order_uid DESC`,
      [...params, orderUids],
    );
    return await withItems(tx, rows);
  });
}

export async function findOrder(
  dataSource: DataSource,
  reader: Reader,
  orderUid: string,
): Promise<OrderWithVersions | undefined> {
  const { where, params } = conditions(reader, {});
  return await readOnly(dataSource, async (tx) => {
    const rows = await tx.query<ViewRow>(
      `SELECT ${VIEW_COLUMNS} FROM ${SCHEMA}.orders o
       WHERE ${where} AND o.order_uid = $${String(params.length + 1)}`,
      [...params, orderUid],
    );
    const [order] = await withItems(tx, rows);
    if (order === undefined) return undefined;
    const versions = await tx.query<
      Omit<OrderVersion, 'acceptedAt' | 'updatedAt'> & { acceptedAt: Date; updatedAt: Date }
    >(
      `SELECT version, reason, event_id AS "eventId", accepted_at AS "acceptedAt", updated_at AS "updatedAt"
       FROM ${SCHEMA}.order_versions WHERE order_uid = $1 ORDER BY version DESC`,
      [orderUid],
    );
    return { ...order, versions: versions.map(withInstants) };
  });
}

function conditions(
  { tenant, channel }: Reader,
  filters: OrderFilters,
  after?: string,
): { where: string; params: unknown[] } {
  const params: unknown[] = [tenant];
  const all = ['o.tenant = $1', 'o.version > 0'];
  const add = (value: unknown, condition: (param: string) => string): void => {
    if (value === undefined) return;
    params.push(value);
    all.push(condition(`$${String(params.length)}`));
  };
  add(channel, (p) => `o.channel = ${p}`);
  add(filters.orderNumber, (p) => `o.order_number = ${p}`);
  add(filters.orderId, (p) => `o.order_id = ${p}`);
  add(filters.recipeId, (p) => `o.order_uid IN (${usersOf(p)})`);
  add(
    filters.search,
    (p) => `o.order_uid IN (
      SELECT order_uid FROM ${SCHEMA}.orders WHERE tenant = $1 AND order_number = ${p}
      UNION SELECT order_uid FROM ${SCHEMA}.orders WHERE tenant = $1 AND order_id = ${p}
      UNION ${usersOf(p)})`,
  );
  add(filters.channel, (p) => `o.channel = ${p}`);
  add(filters.status, (p) => `o.status = ${p}`);
  add(filters.updatedSince, (p) => `o.updated_at >= ${p}::timestamptz`);
  add(after, (p) => `o.order_uid < ${p}::uuid`);
  const waiting = `EXISTS (
    SELECT FROM ${SCHEMA}.order_items i
    WHERE i.order_uid = o.order_uid AND i.recipe_version IS NULL AND i.item_quantity > 0`;
  if (filters.waitingForRecipe !== undefined)
    all.push(`${filters.waitingForRecipe ? '' : 'NOT '}${waiting})`);
  add(filters.waitingBefore, (p) => `${waiting} AND i.created_at < ${p}::timestamptz)`);
  return { where: all.join(' AND '), params };
}

function usersOf(recipeId: string): string {
  return `SELECT i.order_uid FROM ${SCHEMA}.order_items i
          WHERE i.tenant = $1 AND i.recipe_id = ${recipeId} AND i.listed`;
}

/** The files of each recipe version are fetched once, however many items use it. */
async function withItems(tx: Tx, orders: readonly ViewRow[]): Promise<OrderView[]> {
  if (orders.length === 0) return [];
  const items = await tx.query<{
    orderUid: string;
    tenant: string;
    itemId: string;
    recipeId: string;
    itemQuantity: number;
    recipeVersion: number | null;
    createdAt: Date;
  }>(
    `SELECT order_uid AS "orderUid", tenant, item_id AS "itemId", recipe_id AS "recipeId",
            item_quantity AS "itemQuantity", recipe_version AS "recipeVersion", created_at AS "createdAt"
     FROM ${SCHEMA}.order_items WHERE order_uid = ANY ($1::uuid[]) AND listed ORDER BY order_uid, position`,
    [orders.map(({ orderUid }) => orderUid)],
  );
  const manifests = await tx.query<{
    tenant: string;
    recipeId: string;
    version: number;
    files: ManifestFile[];
  }>(
    `SELECT v.tenant, v.recipe_id AS "recipeId", v.version, v.files
     FROM (SELECT DISTINCT tenant, recipe_id, recipe_version FROM ${SCHEMA}.order_items
           WHERE order_uid = ANY ($1::uuid[]) AND listed) AS i
     JOIN ${SCHEMA}.recipe_versions v
       ON v.tenant = i.tenant AND v.recipe_id = i.recipe_id AND v.version = i.recipe_version`,
    [orders.map(({ orderUid }) => orderUid)],
  );
  const keyOf = (tenant: string, recipeId: string, version: number | null): string =>
    `${tenant}:${recipeId}:${String(version)}`;
  const files = new Map(manifests.map((m) => [keyOf(m.tenant, m.recipeId, m.version), m.files]));
  const byOrder = Map.groupBy(items, ({ orderUid }) => orderUid);
  return orders.map((order) => {
    const itemsOfOrder = byOrder.get(order.orderUid) ?? [];
    const waits = itemsOfOrder
      .filter(({ recipeVersion, itemQuantity }) => recipeVersion === null && itemQuantity > 0)
      .map(({ createdAt }) => createdAt.getTime());
    return {
      ...withInstants(order),
      ...(waits.length > 0 && { waitingSince: new Date(Math.min(...waits)).toISOString() }),
      items: itemsOfOrder.map(({ tenant, itemId, recipeId, itemQuantity, recipeVersion }) => ({
        itemId,
        recipeId,
        itemQuantity,
        recipe: recipeOf(recipeVersion, files.get(keyOf(tenant, recipeId, recipeVersion)) ?? []),
      })),
    };
  });
}

function withInstants<T extends { readonly acceptedAt: Date; readonly updatedAt: Date }>(
  row: T,
): Omit<T, 'acceptedAt' | 'updatedAt'> & { acceptedAt: string; updatedAt: string } {
  return { ...row, acceptedAt: row.acceptedAt.toISOString(), updatedAt: row.updatedAt.toISOString() };
}

async function readOnly<T>(dataSource: DataSource, work: (tx: Tx) => Promise<T>): Promise<T> {
  return await inTransaction(dataSource, async (tx) => {
    await tx.execute('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    planForParameters(tx);
    return await work(tx);
  });
}
