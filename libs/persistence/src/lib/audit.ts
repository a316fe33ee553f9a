import { newId } from '@heddle/platform';
import type { DataSource } from 'typeorm';
import { z } from 'zod';

import { decodeCursor, sortInstant, toPage } from './cursor.js';
import { identifier } from './identifier.js';
import { query } from './transaction.js';
import type { Tx } from './transaction.js';

export function AUDIT_DDL(schema: string): string {
  return `
    CREATE TABLE ${identifier(schema)}.audit (
      audit_id uuid PRIMARY KEY,
      at       timestamptz NOT NULL DEFAULT clock_timestamp(),
      tenant   text NOT NULL,
      actor    text NOT NULL,
      action   text NOT NULL,
      subject  text NOT NULL,
      details  jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX audit_tenant_at ON ${identifier(schema)}.audit (tenant, at DESC, audit_id DESC);
  `;
}

export interface AuditRecord {
  readonly tenant: string;
  /** `key:<id>`, `command-line`, or `hub` for what nobody asked for. */
  readonly actor: string;
  /** `key.created`, `integration.approved`, ... */
  readonly action: string;
  /** What it was done to: `integration:<id>`, `key:<id>`. */
  readonly subject: string;
  /** No secrets: they are shown to whoever may read the audit. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface AuditRow extends Required<AuditRecord> {
  readonly auditId: string;
  readonly at: Date;
}

/** In the transaction of what it records. */
export async function appendAudit(tx: Tx, schema: string, record: AuditRecord): Promise<void> {
  const { tenant, actor, action, subject, details = {} } = record;
  await tx.query(
    `INSERT INTO ${identifier(schema)}.audit (audit_id, tenant, actor, action, subject, details)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [newId(), tenant, actor, action, subject, JSON.stringify(details)],
  );
}

const Position = z.tuple([z.iso.datetime(), z.uuid()]);

/**
 * Newest first.
 *
 * @throws {CursorError} for a cursor of another list.
 */
export async function listAudit(
  dataSource: DataSource,
  schema: string,
  {
    tenant,
    limit,
    cursor,
  }: { readonly tenant: string; readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ items: AuditRow[]; nextCursor: string | null }> {
  const filters = ['audit', schema, tenant];
  const after = cursor === undefined ? undefined : decodeCursor(cursor, filters, Position);
  const rows = await query<AuditRow & { position: string }>(
    dataSource,
    `SELECT audit_id AS "auditId", at, tenant, actor, action, subject, details, ${sortInstant('at')} AS position
     FROM ${identifier(schema)}.audit
     WHERE tenant = $1 ${after ? 'AND (at, audit_id) < ($3, $4)' : ''}
     ORDER BY at DESC, audit_id DESC LIMIT $2`,
    [tenant, limit + 1, ...(after ?? [])],
  );
  const page = toPage(rows, { limit, filters, positionOf: ({ position, auditId }) => [position, auditId] });
  return { ...page, items: page.items.map(({ position: _, ...row }) => row) };
}
