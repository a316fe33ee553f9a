import type { Tx } from '@heddle/persistence';

import type { Flow, Limits } from './flow.js';

/** A flow with the limits of the approved version. */
export interface FlowRow extends Flow {
  readonly integrationId: string;
  readonly limits: Limits;
  /** Somebody may be to be told how its deliveries end. */
  readonly hasLists: boolean;
}

export const FLOW_COLUMNS = `f.integration_id AS "integrationId", f.window_size AS "window",
  extract(epoch FROM f.hold_until)::float8 * 1000 AS "holdUntil", f.failures,
  extract(epoch FROM f.probe_at)::float8 * 1000 AS "probeAt", f.probe_wait_ms AS "probeWaitMs",
  f.tokens, extract(epoch FROM f.tokens_at)::float8 * 1000 AS "tokensAt", v.limits,
  v.failure_list <> '' OR v.success_list <> '' AS "hasLists"`;

const FLOWS = `SELECT ${FLOW_COLUMNS}
  FROM dispatcher.integration_flow f
  JOIN dispatcher.integrations i USING (integration_id)
  JOIN dispatcher.integration_versions v
    ON v.integration_id = i.integration_id AND v.version = coalesce(i.approved_version, i.version)
  WHERE f.integration_id = ANY($1)`;

export async function readFlows(tx: Tx, integrationIds: readonly string[]): Promise<FlowRow[]> {
  return await tx.query<FlowRow>(FLOWS, [integrationIds]);
}

/** Waits for whoever holds one of them. */
export async function lockFlows(tx: Tx, integrationIds: readonly string[]): Promise<FlowRow[]> {
  return await tx.query<FlowRow>(`${FLOWS} ORDER BY f.integration_id FOR UPDATE OF f`, [integrationIds]);
}

export async function saveFlows(tx: Tx, flows: readonly FlowRow[]): Promise<void> {
  if (flows.length === 0) return;
  const rows = flows.map((flow) => ({
    integration_id: flow.integrationId,
    window_size: flow.window,
    hold_until: flow.holdUntil,
    failures: flow.failures,
    probe_at: flow.probeAt,
    probe_wait_ms: flow.probeWaitMs,
    tokens: flow.tokens,
    tokens_at: flow.tokensAt,
  }));
  await tx.query(
    `UPDATE dispatcher.integration_flow f SET
       window_size = c.window_size, hold_until = to_timestamp(c.hold_until / 1000), failures = c.failures,
       probe_at = to_timestamp(c.probe_at / 1000), probe_wait_ms = c.probe_wait_ms, tokens = c.tokens,
       tokens_at = to_timestamp(c.tokens_at / 1000)
     FROM json_to_recordset($1) AS c (
       integration_id uuid, window_size integer, hold_until float8, failures integer, probe_at float8,
       probe_wait_ms integer, tokens float8, tokens_at float8)
     WHERE f.integration_id = c.integration_id`,
    [JSON.stringify(rows)],
  );
}
