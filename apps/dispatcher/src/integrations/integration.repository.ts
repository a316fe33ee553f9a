import type {
  DestinationKind,
  IntegrationStatus,
  IntegrationVersionView,
  IntegrationView,
} from '@heddle/contracts';
import type { Tx } from '@heddle/persistence';

import { newFlow } from '../flow/flow.js';
import { END_STATE } from '../lanes/lane.js';
import type { EndReason } from '../lanes/lane.js';
import type { CleanUp } from '../offers/clean-up.js';

import { masked } from './judge.js';
import type { Places, VersionContent } from './judge.js';

export interface IntegrationRow {
  readonly integrationId: string;
  readonly tenant: string;
  readonly destination: DestinationKind;
  readonly status: IntegrationStatus;
  readonly version: number;
  readonly approvedVersion: number | null;
  readonly activeFrom: Date | null;
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface VersionRow {
  readonly version: number;
  /** Since that version data goes where it goes with this one. */
  readonly targetVersion: number;
  readonly places: Places;
  readonly versionStatus: IntegrationVersionView['status'];
  readonly actor: string;
  readonly versionCreatedAt: Date;
  readonly decidedBy: string | null;
  readonly decidedAt: Date | null;
  readonly description: string;
  readonly triggers: VersionContent['triggers'];
  readonly channels: VersionContent['channels'];
  readonly successList: string;
  readonly failureList: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly limits: VersionContent['limits'];
  readonly include: VersionContent['include'];
  readonly temporaryRecipes: boolean;
}

export type WholeRow = IntegrationRow & VersionRow;

const INTEGRATION = `i.integration_id AS "integrationId", i.tenant, i.destination, i.status, i.version,
  i.approved_version AS "approvedVersion", i.active_from AS "activeFrom", i.revision, i.created_at AS "createdAt",
  i.updated_at AS "updatedAt"`;
/** Null in what an older dispatcher has written, and then the version itself. */
export function targetVersionOf(alias: string): string {
  return `coalesce(${alias}.target_version, ${alias}.version)`;
}

export const VERSION = `v.version, ${targetVersionOf('v')} AS "targetVersion", v.places, v.status AS "versionStatus", v.actor, v.created_at AS "versionCreatedAt",
  v.decided_by AS "decidedBy", v.decided_at AS "decidedAt", v.description, v.triggers, v.channels,
  v.success_list AS "successList", v.failure_list AS "failureList", v.settings, v.limits, v.include,
  v.temporary_recipes AS "temporaryRecipes"`;
/** Integrations with their newest version. */
export const WHOLE = `SELECT ${VERSION}, ${INTEGRATION} FROM dispatcher.integrations i
  JOIN dispatcher.integration_versions v ON v.integration_id = i.integration_id AND v.version = i.version`;

/**
 * Locked: changes of one integration take turns. Read by a statement of its own, for one that waited for the lock
 * would look for the version of before.
 */
export async function lockIntegration(
  tx: Tx,
  tenant: string,
  integrationId: string,
): Promise<WholeRow | undefined> {
  await tx.query(
    `SELECT FROM dispatcher.integrations WHERE tenant = $1 AND integration_id = $2 FOR NO KEY UPDATE`,
    [tenant, integrationId],
  );
  return await readIntegration(tx, tenant, integrationId);
}

export async function readIntegration(
  tx: Tx,
  tenant: string,
  integrationId: string,
): Promise<WholeRow | undefined> {
  const [row] = await tx.query<WholeRow>(
    `${WHOLE} WHERE i.tenant = $1 AND i.integration_id = $2 AND i.deleted_at IS NULL AND NOT i.is_internal`,
    [tenant, integrationId],
  );
  return row;
}

export async function readVersion(tx: Tx, integrationId: string, version: number): Promise<VersionRow> {
  const [row] = await tx.query<VersionRow>(
    `SELECT ${VERSION} FROM dispatcher.integration_versions v WHERE v.integration_id = $1 AND v.version = $2`,
    [integrationId, version],
  );
  if (!row) throw new TypeError('a version of an integration is missing');
  return row;
}

export async function insertIntegration(
  tx: Tx,
  row: {
    readonly integrationId: string;
    readonly tenant: string;
    readonly actor: string;
    readonly places: Places;
  },
  content: VersionContent,
): Promise<void> {
  const { integrationId, tenant, actor, places } = row;
  await tx.query(
    `INSERT INTO dispatcher.integrations (integration_id, tenant, destination, status, version)
     VALUES ($1, $2, $3, 'pending-review', 1)`,
    [integrationId, tenant, content.destination],
  );
  await insertVersion(tx, integrationId, {
    version: 1,
    targetVersion: 1,
    places,
    status: 'pending-review',
    actor,
    content,
  });
  const flow = newFlow(content.limits, Date.now());
  await tx.query(
    `INSERT INTO dispatcher.integration_flow (integration_id, window_size, tokens, tokens_at)
     VALUES ($1, $2, $3, now())`,
    [integrationId, flow.window, flow.tokens],
  );
}

/** An approved version takes the place of the one before; a pending one that of a pending one. */
export async function insertVersion(
  tx: Tx,
  integrationId: string,
  {
    version,
    targetVersion,
    places,
    status,
    actor,
    content,
  }: {
    readonly version: number;
    readonly targetVersion: number;
    readonly places: Places;
    readonly status: 'pending-review' | 'approved';
    readonly actor: string;
    readonly content: VersionContent;
  },
): Promise<void> {
  await supersedeVersions(tx, integrationId, status);
  await tx.query(
    `INSERT INTO dispatcher.integration_versions
       (integration_id, version, status, actor, decided_by, decided_at, description, triggers, channels, success_list,
        failure_list, settings, limits, include, temporary_recipes, target_version, places)
     VALUES ($1, $2, $3, $4, CASE WHEN $3 = 'approved' THEN $4 END, CASE WHEN $3 = 'approved' THEN now() END,
             $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      integrationId,
      version,
      status,
      actor,
      content.description,
      content.triggers,
      content.channels,
      content['success-notification-list'],
      content['failure-notification-list'],
      JSON.stringify(content.settings),
      JSON.stringify(content.limits),
      JSON.stringify(content.include),
      content['temporary-recipes'],
      targetVersion,
      JSON.stringify(places),
    ],
  );
}

/** Whatever waits for a decision is out of date once something newer waits or is approved. */
async function supersedeVersions(
  tx: Tx,
  integrationId: string,
  by: 'pending-review' | 'approved',
  keep = 0,
): Promise<void> {
  await tx.query(
    `UPDATE dispatcher.integration_versions SET status = 'superseded'
     WHERE integration_id = $1 AND version <> $3
       AND (status = 'pending-review' OR (status = 'approved' AND $2 = 'approved'))`,
    [integrationId, by, keep],
  );
}

export async function decideVersion(
  tx: Tx,
  integrationId: string,
  version: number,
  status: 'approved' | 'rejected',
  actor: string,
): Promise<void> {
  if (status === 'approved') await supersedeVersions(tx, integrationId, 'approved', version);
  await tx.query(
    `UPDATE dispatcher.integration_versions SET status = $3, decided_by = $4, decided_at = now()
     WHERE integration_id = $1 AND version = $2`,
    [integrationId, version, status, actor],
  );
}

export interface IntegrationChange {
  readonly status?: IntegrationStatus;
  readonly version?: number;
  readonly approvedVersion?: number;
  /** Events accepted from now on count. */
  readonly activates?: boolean;
  readonly deletes?: boolean;
}

/** Milliseconds, as events have them: an event of the same millisecond must not look older. */
export async function updateIntegration(
  tx: Tx,
  integrationId: string,
  change: IntegrationChange,
): Promise<void> {
  await tx.query(
    `UPDATE dispatcher.integrations SET
       status = coalesce($2, status), version = coalesce($3, version),
       approved_version = coalesce($4, approved_version),
       active_from = CASE WHEN $5 THEN date_trunc('milliseconds', clock_timestamp()) ELSE active_from END,
       deleted_at = CASE WHEN $6 THEN now() ELSE deleted_at END,
       revision = revision + 1, updated_at = clock_timestamp()
     WHERE integration_id = $1`,
    [
      integrationId,
      change.status ?? null,
      change.version ?? null,
      change.approvedVersion ?? null,
      change.activates ?? false,
      change.deletes ?? false,
    ],
  );
}

/**
 * Ends what integrations that are disabled or deleted have open: what has not gone out now, what is in flight after its
 * attempt.
 *
 * @param only one integration, whose rows are waited for; otherwise all of them, but for rows that somebody holds.
 * @returns how many deliveries it touched; with `limit` of them there may be more.
 */
export async function endDeliveries(
  tx: Tx,
  cleanUp: CleanUp,
  { only, limit }: { readonly only?: string; readonly limit: number },
): Promise<number> {
  const touched = await tx.query<{ deliveryId: string; isAttempted: boolean }>(
    `WITH ending AS (
       SELECT d.delivery_id, CASE WHEN i.deleted_at IS NULL THEN '${DISABLED}' ELSE '${DELETED}' END AS reason
       FROM dispatcher.integrations i JOIN dispatcher.deliveries d USING (integration_id)
       WHERE (i.status = 'disabled' OR i.deleted_at IS NOT NULL) AND ($1::uuid IS NULL OR i.integration_id = $1)
         AND d.state IN ('waiting', 'ready', 'in-flight', 'retrying')
         AND (d.state <> 'in-flight' OR d.stop_reason IS NULL)
       ORDER BY d.delivery_id LIMIT $2 FOR UPDATE OF d ${only === undefined ? 'SKIP LOCKED' : ''})
     UPDATE dispatcher.deliveries d SET
       state = CASE WHEN d.state = 'in-flight' THEN d.state ELSE '${END_STATE[DISABLED]}' END,
       reason = CASE WHEN d.state = 'in-flight' THEN NULL ELSE ending.reason END,
       stop_reason = CASE WHEN d.state = 'in-flight' THEN ending.reason ELSE d.stop_reason END,
       next_attempt_at = NULL, finished_at = CASE WHEN d.state = 'in-flight' THEN NULL ELSE now() END,
       updated_at = now()
     FROM ending WHERE d.delivery_id = ending.delivery_id
     RETURNING d.delivery_id AS "deliveryId", d.state <> 'in-flight' AND d.frozen_at IS NOT NULL AS "isAttempted"`,
    [only ?? null, limit],
  );
  await cleanUp.enqueue(
    tx,
    touched.filter(({ isAttempted }) => isAttempted).map(({ deliveryId }) => deliveryId),
  );
  return touched.length;
}
const DISABLED = 'integration-disabled' satisfies EndReason;
const DELETED = 'integration-deleted' satisfies EndReason;

export function contentOf(row: VersionRow & { readonly destination: DestinationKind }): VersionContent {
  return {
    destination: row.destination,
    description: row.description,
    triggers: row.triggers,
    channels: row.channels,
    'success-notification-list': row.successList,
    'failure-notification-list': row.failureList,
    settings: row.settings,
    limits: row.limits,
    include: row.include,
    'temporary-recipes': row.temporaryRecipes,
  };
}

export function viewOf(row: WholeRow): IntegrationView {
  return {
    integrationId: row.integrationId,
    status: row.status,
    version: row.version,
    approvedVersion: row.approvedVersion,
    activeFrom: row.activeFrom?.toISOString() ?? null,
    ...contentOf(row),
    settings: masked(row.settings),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function versionViewOf(
  row: VersionRow & { readonly destination: DestinationKind },
): IntegrationVersionView {
  const { destination: _, ...content } = contentOf(row);
  return {
    version: row.version,
    status: row.versionStatus,
    actor: row.actor,
    createdAt: row.versionCreatedAt.toISOString(),
    decidedBy: row.decidedBy,
    decidedAt: row.decidedAt?.toISOString() ?? null,
    ...content,
    settings: masked(row.settings),
  };
}

export function etagOf({ revision }: Pick<IntegrationRow, 'revision'>): string {
  return `"${String(revision)}"`;
}
