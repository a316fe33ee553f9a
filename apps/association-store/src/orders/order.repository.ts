import { newId, childOf } from '@heddle/platform';
import { ORDER_CANCELLED, ORDER_SUBMITTED, ORDER_UPDATED, orderKey } from '@heddle/contracts';
import type { CancelReason, ManifestFile, OrderReason, OrderStatus } from '@heddle/contracts';
import { DatabaseError, enqueue } from '@heddle/persistence';
import type { OutboxRow, Tx } from '@heddle/persistence';

import { SCHEMA } from '../schema/migrations.js';

import type { TouchedItem } from './fold-orders.js';
import { RecipeStates, documentText, orderDocument } from './order-document.js';
import { itemKey } from './order-state.js';
import type { ItemState, OrderChange, OrderName, OrderState } from './order-state.js';

/** What a transaction has decided about orders whose rows it has locked. */
export interface OrderWrites {
  readonly newOrders: readonly OrderState[];
  readonly changedOrders: readonly OrderState[];
  readonly items: readonly TouchedItem[];
  readonly changes: readonly OrderChange[];
}

interface OrderRow {
  readonly order_uid: string;
  readonly tenant: string;
  readonly channel: string;
  readonly order_number: string;
  readonly order_id: string | null;
  readonly ordinal: number;
  readonly status: OrderStatus;
  readonly version: number;
  readonly reason: OrderReason | null;
  readonly cancel_reason: CancelReason | null;
  readonly accepted_at: Date;
  readonly created_at: Date;
}

interface ItemRow {
  readonly order_uid: string;
  readonly item_id: string;
  readonly recipe_id: string;
  readonly item_quantity: number;
  readonly position: number;
  readonly listed: boolean;
  readonly last_offset: string;
  readonly recipe_version: number | null;
}

/** An order whose row this transaction has locked. */
export interface LockedOrder extends OrderState {
  readonly createdAt: Date;
}

const ORDER_COLUMNS = `o.order_uid, o.tenant, o.channel, o.order_number, o.order_id, o.ordinal, o.status, o.version,
  o.reason, o.cancel_reason, o.accepted_at, o.created_at`;

/**
 * Locks all orders of these numbers, in the order that every transaction keeps, and reads them whole. LATERAL finds
 * them name by name: a join may as well read the table whole, as the planner takes any array of names for a hundred.
 */
export async function lockOrdersByName(tx: Tx, names: readonly OrderName[]): Promise<LockedOrder[]> {
  const rows = await tx.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM ${SCHEMA}.orders o WHERE o.order_uid = ANY (ARRAY(
       SELECT f.order_uid
       FROM json_to_recordset($1) AS k (tenant text, channel text, "orderNumber" text)
       CROSS JOIN LATERAL (
         SELECT n.order_uid FROM ${SCHEMA}.orders n
         WHERE n.tenant = k.tenant AND n.order_number = k."orderNumber" AND n.channel = k.channel OFFSET 0) f))
     ORDER BY o.order_uid FOR UPDATE`,
    [JSON.stringify(names)],
  );
  return await withItems(tx, rows);
}

/** The same for orders known by their uid; those that are gone are left out. */
export async function lockOrders(tx: Tx, orderUids: readonly string[]): Promise<LockedOrder[]> {
  const rows = await tx.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM ${SCHEMA}.orders o WHERE o.order_uid = ANY ($1::uuid[])
     ORDER BY o.order_uid FOR UPDATE`,
    [orderUids],
  );
  return await withItems(tx, rows);
}

/** A statement of its own, after the locks: its snapshot holds whatever the former holder has written. */
async function withItems(tx: Tx, orders: readonly OrderRow[]): Promise<LockedOrder[]> {
  if (orders.length === 0) return [];
  const rows = await tx.query<ItemRow>(
    `SELECT order_uid, item_id, recipe_id, item_quantity, position, listed, last_offset, recipe_version
     FROM ${SCHEMA}.order_items WHERE order_uid = ANY ($1::uuid[]) ORDER BY order_uid, position`,
    [orders.map(({ order_uid }) => order_uid)],
  );
  const items = Map.groupBy(rows, ({ order_uid }) => order_uid);
  return orders.map((row) => ({
    orderUid: row.order_uid,
    tenant: row.tenant,
    channel: row.channel,
    orderNumber: row.order_number,
    orderId: row.order_id,
    ordinal: row.ordinal,
    status: row.status,
    version: row.version,
    reason: row.reason,
    cancelReason: row.cancel_reason,
    acceptedAt: row.accepted_at.toISOString(),
    createdAt: row.created_at,
    items: (items.get(row.order_uid) ?? []).map((item) => ({
      itemId: item.item_id,
      recipeId: item.recipe_id,
      itemQuantity: item.item_quantity,
      position: item.position,
      listed: item.listed,
      lastOffset: BigInt(item.last_offset),
      recipeVersion: item.recipe_version,
    })),
  }));
}

export interface RecipeName {
  readonly tenant: string;
  readonly recipeId: string;
}

/**
 * Makes sure that every recipe has a row to lock. Before any lock on a recipe, by everybody: a transaction that
 * waited here while it held one could be waited for in turn.
 */
export function insertPlaceholders(tx: Tx, recipes: readonly RecipeName[], now: Date): void {
  if (recipes.length === 0) return;
  tx.post(
    `INSERT INTO ${SCHEMA}.recipes (tenant, recipe_id, version, files, created_at, updated_at)
     SELECT tenant, "recipeId", 0, '[]', $2, $2
     FROM json_to_recordset($1) AS k (tenant text, "recipeId" text)
     ORDER BY tenant COLLATE "C", "recipeId" COLLATE "C"
     ON CONFLICT DO NOTHING`,
    [JSON.stringify(recipes), now],
  );
}

/** The recipes of the first parameter as every transaction locks them, one by one: for LATERAL. */
export const RECIPES_IN_ORDER = `(SELECT * FROM json_to_recordset($1) AS j (tenant text, "recipeId" text)
       ORDER BY tenant COLLATE "C", "recipeId" COLLATE "C")`;

/**
 * Keeps the recipes as they are until the transaction ends: what is read here is true when it commits. So either
 * this transaction sees a recipe's content, or the recipe's transaction sees our items and queues a link.
 */
export async function shareRecipes(tx: Tx, recipes: readonly RecipeName[]): Promise<RecipeStates> {
  const states = new RecipeStates();
  if (recipes.length === 0) return states;
  const rows = await tx.query<{
    tenant: string;
    recipe_id: string;
    version: number;
    files: ManifestFile[];
  }>(
    `SELECT r.tenant, r.recipe_id, r.version, r.files
     FROM ${RECIPES_IN_ORDER} AS k
     CROSS JOIN LATERAL (
       SELECT * FROM ${SCHEMA}.recipes s
       WHERE s.tenant = k.tenant AND s.recipe_id = k."recipeId" FOR SHARE) AS r`,
    [JSON.stringify(recipes)],
  );
  assertAllThere(recipes.length, rows.length);
  for (const { tenant, recipe_id, version, files } of rows) states.set(tenant, recipe_id, { version, files });
  return states;
}

/**
 * The purge may take an unused recipe between our placeholder and our lock; the next try makes a new one.
 *
 * @throws {DatabaseError} transient.
 */
export function assertAllThere(wanted: number, locked: number): void {
  if (locked < wanted) {
    throw new DatabaseError('locking recipes: one was purged meanwhile', 'transient', '40001');
  }
}

/** The recipes of all items of these orders, each once. */
export function recipesOf(orders: readonly OrderState[]): RecipeName[] {
  return distinctRecipes(
    orders.flatMap(({ tenant, items }) => items.map(({ recipeId }) => ({ tenant, recipeId }))),
  );
}

export function distinctRecipes(recipes: readonly RecipeName[]): RecipeName[] {
  return [
    ...new Map(
      recipes.map(({ tenant, recipeId }) => [`${tenant}:${recipeId}`, { tenant, recipeId }]),
    ).values(),
  ];
}

const TYPES = {
  'order.submitted': ORDER_SUBMITTED,
  'order.updated': ORDER_UPDATED,
  'order.cancelled': ORDER_CANCELLED,
} as const;

/** About what a transaction's events may hold together: they are one text on their way to the outbox. */
export const MAX_EVENTS_BYTES = 32 * 1024 * 1024;

/** The work has to be done in smaller parts; nothing of it was written. */
export class TooMuchAtOnceError extends Error {
  override readonly name = 'TooMuchAtOnceError';
}

/** A guess, cheap and on the safe side: every event carries its whole order, and each item its files. */
function weightOf(changes: readonly OrderChange[], recipes: RecipeStates): number {
  const FILE_BYTES = 300;
  let bytes = 0;
  for (const { order } of changes) {
    bytes += 500;
    for (const { recipeId } of order.items) {
      bytes += 200 + FILE_BYTES * recipes.get(order.tenant, recipeId).files.length;
    }
  }
  return bytes;
}

/**
 * Writes what a transaction has decided, and queues its events: one statement for each table, whatever the
 * number of rows.
 *
 * @returns how many file lists had to be left out of documents, see `documentText`.
 * @throws {TooMuchAtOnceError} before it writes anything.
 */
export function writeOrders(
  tx: Tx,
  { newOrders, changedOrders, items, changes }: OrderWrites,
  recipes: RecipeStates,
  now: Date,
  maxBytes: number = MAX_EVENTS_BYTES,
): number {
  if (weightOf(changes, recipes) > maxBytes) throw new TooMuchAtOnceError();
  const at = now.toISOString();
  if (newOrders.length > 0) insertOrders(tx, newOrders, at);
  if (changedOrders.length > 0) updateOrders(tx, changedOrders, at);
  const rows = itemRows([...newOrders, ...changedOrders], items, recipes);
  if (rows.inserts.length > 0) insertItems(tx, rows.inserts, at);
  if (rows.updates.length > 0) updateItems(tx, rows.updates);
  if (changes.length === 0) return 0;

  let leftOut = 0;
  const events = changes.map(({ topic, order, traceparent }): OutboxRow => {
    const document = documentText(orderDocument(order, recipes, at));
    leftOut += document.leftOut;
    return {
      topic,
      key: orderKey(order.tenant, order.orderNumber),
      id: newId(),
      type: TYPES[topic],
      time: at,
      subject: order.orderUid,
      tenant: order.tenant,
      traceparent: childOf(traceparent),
      data: document.text,
    };
  });
  insertVersions(tx, changes, events, at);
  enqueue(tx, SCHEMA, events);
  return leftOut;
}

interface ItemWrite {
  readonly order_uid: string;
  readonly item_id: string;
  readonly recipe_id: string;
  readonly tenant: string;
  readonly item_quantity: number;
  readonly position: number;
  readonly listed: boolean;
  readonly last_offset: string;
  readonly recipe_version: number | null;
}

/**
 * The items that were touched, and of every order that is written also those whose recipe has moved on since:
 * the order's event names the recipes' versions of now.
 */
function itemRows(
  orders: readonly OrderState[],
  touched: readonly TouchedItem[],
  recipes: RecipeStates,
): { inserts: readonly ItemWrite[]; updates: readonly ItemWrite[] } {
  const inserts = new Map<string, ItemWrite>();
  const updates = new Map<string, ItemWrite>();
  for (const { orderUid, tenant, item, isNew } of touched) {
    const key = `${orderUid}\t${itemKey(item.itemId, item.recipeId)}`;
    (isNew ? inserts : updates).set(key, itemRow(orderUid, tenant, item, item.recipeVersion));
  }
  for (const { orderUid, tenant, items } of orders) {
    for (const item of items) {
      const version = recipes.get(tenant, item.recipeId).version || null;
      if (version === item.recipeVersion) continue;
      const key = `${orderUid}\t${itemKey(item.itemId, item.recipeId)}`;
      (inserts.has(key) ? inserts : updates).set(key, itemRow(orderUid, tenant, item, version));
    }
  }
  return { inserts: [...inserts.values()], updates: [...updates.values()] };
}

function itemRow(orderUid: string, tenant: string, item: ItemState, recipeVersion: number | null): ItemWrite {
  return {
    order_uid: orderUid,
    item_id: item.itemId,
    recipe_id: item.recipeId,
    tenant,
    item_quantity: item.itemQuantity,
    position: item.position,
    listed: item.listed,
    last_offset: String(item.lastOffset),
    recipe_version: recipeVersion,
  };
}

function orderRows(orders: readonly OrderState[]): string {
  return JSON.stringify(
    orders.map((order) => ({
      order_uid: order.orderUid,
      tenant: order.tenant,
      channel: order.channel,
      order_number: order.orderNumber,
      order_id: order.orderId,
      ordinal: order.ordinal,
      status: order.status,
      version: order.version,
      reason: order.reason,
      cancel_reason: order.cancelReason,
      accepted_at: order.acceptedAt,
    })),
  );
}

// New rows and changed ones are told apart under the locks, so neither statement needs ON CONFLICT, which makes
// every insert a third dearer.

function insertOrders(tx: Tx, orders: readonly OrderState[], at: string): void {
  tx.post(
    `INSERT INTO ${SCHEMA}.orders (order_uid, tenant, channel, order_number, order_id, ordinal, status, version,
                                   reason, cancel_reason, accepted_at, created_at, updated_at)
     SELECT order_uid, tenant, channel, order_number, order_id, ordinal, status, version, reason, cancel_reason,
            accepted_at, $2::timestamptz, $2::timestamptz
     FROM json_to_recordset($1) AS i (
       order_uid uuid, tenant text, channel text, order_number text, order_id text, ordinal integer, status text,
       version integer, reason text, cancel_reason text, accepted_at timestamptz)`,
    [orderRows(orders), at],
  );
}

function updateOrders(tx: Tx, orders: readonly OrderState[], at: string): void {
  tx.post(
    `UPDATE ${SCHEMA}.orders AS o
     SET order_id = i.order_id, status = i.status, version = i.version, reason = i.reason,
         cancel_reason = i.cancel_reason, accepted_at = i.accepted_at, updated_at = $2::timestamptz
     FROM json_to_recordset($1) AS i (
       order_uid uuid, order_id text, status text, version integer, reason text, cancel_reason text,
       accepted_at timestamptz)
     WHERE o.order_uid = i.order_uid`,
    [orderRows(orders), at],
  );
}

function insertItems(tx: Tx, rows: readonly ItemWrite[], at: string): void {
  tx.post(
    `INSERT INTO ${SCHEMA}.order_items (order_uid, item_id, recipe_id, tenant, item_quantity, position, listed,
                                        last_offset, recipe_version, created_at)
     SELECT order_uid, item_id, recipe_id, tenant, item_quantity, position, listed, last_offset, recipe_version,
            $2::timestamptz
     FROM json_to_recordset($1) AS i (
       order_uid uuid, item_id text, recipe_id text, tenant text, item_quantity integer, position integer,
       listed boolean, last_offset bigint, recipe_version integer)`,
    [JSON.stringify(rows), at],
  );
}

function updateItems(tx: Tx, rows: readonly ItemWrite[]): void {
  tx.post(
    `UPDATE ${SCHEMA}.order_items AS o
     SET item_quantity = i.item_quantity, listed = i.listed, last_offset = i.last_offset,
         recipe_version = i.recipe_version
     FROM json_to_recordset($1) AS i (
       order_uid uuid, item_id text, recipe_id text, item_quantity integer, listed boolean, last_offset bigint,
       recipe_version integer)
     WHERE o.order_uid = i.order_uid AND o.item_id = i.item_id AND o.recipe_id = i.recipe_id`,
    [JSON.stringify(rows)],
  );
}

function insertVersions(
  tx: Tx,
  changes: readonly OrderChange[],
  events: readonly OutboxRow[],
  at: string,
): void {
  const rows = changes.map(({ order }, index) => ({
    order_uid: order.orderUid,
    version: order.version,
    reason: order.reason,
    event_id: events[index]?.id,
    accepted_at: order.acceptedAt,
  }));
  tx.post(
    `INSERT INTO ${SCHEMA}.order_versions (order_uid, version, reason, event_id, accepted_at, updated_at)
     SELECT order_uid, version, reason, event_id, accepted_at, $2::timestamptz
     FROM json_to_recordset($1) AS i (
       order_uid uuid, version integer, reason text, event_id uuid, accepted_at timestamptz)`,
    [JSON.stringify(rows), at],
  );
}
