import { Tenant } from '@heddle/contracts';
import type { Permission } from '@heddle/contracts';
import {
  appendAudit,
  decodeCursor,
  execute,
  inTransaction,
  query,
  sortInstant,
  toPage,
} from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { newId } from '@heddle/platform';
import { z } from 'zod';

import { generateApiKey } from './api-key.js';
import { ACCESS_SCHEMA } from './schema.js';

/** What authentication has to know of a key. */
export interface KeyRecord {
  readonly id: string;
  readonly keyId: string;
  readonly secretSha256: Buffer;
  readonly tenant: string;
  readonly permissions: readonly Permission[];
  readonly channel: string | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
}

/** What a list may show of a key. */
export interface ApiKeyView {
  readonly id: string;
  readonly name: string;
  readonly permissions: readonly Permission[];
  readonly channel: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
}

export interface CreateApiKey {
  readonly tenant: string;
  readonly name: string;
  readonly permissions: readonly Permission[];
  readonly channel?: string | undefined;
  readonly expiresAt?: Date | undefined;
  /** Who creates it, as the audit names them. */
  readonly actor: string;
}

const VIEW = `id, name, permissions, channel, created_at AS "createdAt", expires_at AS "expiresAt",
  revoked_at AS "revokedAt", last_used_at AS "lastUsedAt"`;

/** @returns false when the tenant was there already. */
export async function createTenant(dataSource: DataSource, tenant: string): Promise<boolean> {
  const created = await execute(
    dataSource,
    `INSERT INTO access.tenants (tenant) VALUES ($1) ON CONFLICT DO NOTHING`,
    [Tenant.parse(tenant)],
  );
  return created > 0;
}

/** @returns the key among the rest: the only time that anybody sees it. */
export async function createApiKey(
  on: DataSource | Tx,
  { tenant, name, permissions, channel, expiresAt, actor }: CreateApiKey,
): Promise<ApiKeyView & { readonly key: string }> {
  return await within(on, async (tx) => {
    const { key, keyId, secretSha256 } = generateApiKey();
    const [view] = await tx.query<ApiKeyView>(
      `INSERT INTO access.api_keys (id, key_id, secret_sha256, tenant, name, permissions, channel, expires_at, created_by)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ${VIEW}`,
      [
        newId(),
        keyId,
        secretSha256,
        tenant,
        name,
        [...new Set(permissions)],
        channel ?? null,
        expiresAt ?? null,
        actor,
      ],
    );
    if (!view) throw new TypeError('an INSERT gives its row back');
    const details = { name, permissions: view.permissions, channel: view.channel };
    await appendAudit(tx, ACCESS_SCHEMA, {
      tenant,
      actor,
      action: 'key.created',
      subject: `key:${view.id}`,
      details,
    });
    return { ...view, key };
  });
}

const Position = z.tuple([z.iso.datetime(), z.uuid()]);

/** Newest first, revoked ones too. */
export async function listApiKeys(
  dataSource: DataSource,
  {
    tenant,
    channel,
    limit,
    cursor,
  }: {
    readonly tenant: string;
    /** With it, its keys alone. */
    readonly channel?: string | undefined;
    readonly limit: number;
    readonly cursor?: string | undefined;
  },
): Promise<{ items: ApiKeyView[]; nextCursor: string | null }> {
  const filters = ['keys', tenant, channel ?? null];
  const after = cursor === undefined ? undefined : decodeCursor(cursor, filters, Position);
  const rows = await query<ApiKeyView & { position: string }>(
    dataSource,
    `SELECT ${VIEW}, ${sortInstant('created_at')} AS position FROM access.api_keys
     WHERE tenant = $1 AND ($3::text IS NULL OR channel = $3)
       ${after ? 'AND (created_at, id) < ($4, $5)' : ''}
     ORDER BY created_at DESC, id DESC LIMIT $2`,
    [tenant, limit + 1, channel ?? null, ...(after ?? [])],
  );
  const page = toPage(rows, { limit, filters, positionOf: ({ position, id }) => [position, id] });
  return { ...page, items: page.items.map(({ position: _, ...view }) => view) };
}

/** Revoking twice changes nothing. @returns false when the tenant, or its channel where one is given, has no such key. */
export async function revokeApiKey(
  dataSource: DataSource,
  {
    tenant,
    channel,
    id,
    actor,
  }: {
    readonly tenant: string;
    readonly channel?: string | undefined;
    readonly id: string;
    readonly actor: string;
  },
): Promise<boolean> {
  return await inTransaction(dataSource, async (tx) => {
    const [key] = await tx.query<{ revoked: boolean }>(
      `SELECT revoked_at IS NOT NULL AS revoked FROM access.api_keys
       WHERE tenant = $1 AND id = $2 AND ($3::text IS NULL OR channel = $3) FOR UPDATE`,
      [tenant, id, channel ?? null],
    );
    if (!key) return false;
    if (key.revoked) return true;
    await tx.query(
      `UPDATE access.api_keys SET revoked_at = clock_timestamp(), revoked_by = $2 WHERE id = $1`,
      [id, actor],
    );
    await appendAudit(tx, ACCESS_SCHEMA, { tenant, actor, action: 'key.revoked', subject: `key:${id}` });
    return true;
  });
}

/** One statement for any number of keys. */
export async function findKeys(dataSource: DataSource, keyIds: readonly string[]): Promise<KeyRecord[]> {
  return await query<KeyRecord>(
    dataSource,
    `SELECT id, key_id AS "keyId", secret_sha256 AS "secretSha256", tenant, permissions, channel,
            expires_at AS "expiresAt", revoked_at AS "revokedAt"
     FROM access.api_keys WHERE key_id = ANY($1)`,
    [keyIds],
  );
}

export async function saveLastUsed(
  dataSource: DataSource,
  lastUsed: ReadonlyMap<string, Date>,
): Promise<void> {
  await execute(
    dataSource,
    // In order of id: two processes that write the same keys lock them alike.
    `UPDATE access.api_keys AS k SET last_used_at = u.at
     FROM (SELECT k.id, r.at FROM json_to_recordset($1) AS r (id uuid, at timestamptz)
           JOIN access.api_keys AS k ON k.id = r.id
           WHERE k.last_used_at IS NULL OR k.last_used_at < r.at ORDER BY k.id FOR UPDATE OF k) AS u
     WHERE k.id = u.id`,
    [JSON.stringify([...lastUsed].map(([id, at]) => ({ id, at })))],
  );
}

async function within<T>(on: DataSource | Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
  return 'driver' in on ? await inTransaction(on, work) : await work(on);
}
