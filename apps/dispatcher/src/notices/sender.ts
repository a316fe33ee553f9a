import type { Tx } from '@heddle/persistence';
import { newId } from '@heddle/platform';

import { newFlow } from '../flow/flow.js';

/** As every integration has it when nobody asks for another. */
const LIMITS = { window: 16, perSecond: null };

interface Sender {
  readonly tenant: string;
  readonly integrationId: string;
}

/**
 * What sends the notifications of a tenant: an integration that nobody lists, changes or starts, made when the first
 * notification is. Its settings are empty, as each notification has recipients of its own.
 *
 * @returns its id, by tenant.
 */
export async function ensureSenders(
  tx: Tx,
  tenants: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (tenants.length === 0) return new Map();
  const found = await readSenders(tx, tenants);
  if (found.size === tenants.length) return found;
  const flow = newFlow(LIMITS, Date.now());
  // In the order of the tenants: two dispatchers that make the same ones wait for each other and not crosswise.
  const missing = tenants.filter((tenant) => !found.has(tenant)).toSorted();
  await tx.query(
    `WITH made AS (
       INSERT INTO dispatcher.integrations
         (integration_id, tenant, destination, status, version, approved_version, active_from, is_internal)
       SELECT integration_id, tenant, 'email', 'enabled', 1, 1, now(), true
       FROM json_to_recordset($1) AS m (integration_id uuid, tenant text) ORDER BY tenant
       ON CONFLICT (tenant) WHERE is_internal DO NOTHING
       RETURNING integration_id),
     versions AS (
       INSERT INTO dispatcher.integration_versions
         (integration_id, version, status, actor, decided_by, decided_at, description, triggers, channels,
          success_list, failure_list, settings, limits, include, temporary_recipes)
       SELECT integration_id, 1, 'approved', 'hub', 'hub', now(), 'notifications', '{}', '{}', '', '', '{}', $2, '{}',
              false
       FROM made)
     INSERT INTO dispatcher.integration_flow (integration_id, window_size, tokens, tokens_at)
     SELECT integration_id, $3, $4, now() FROM made`,
    [
      JSON.stringify(missing.map((tenant) => ({ tenant, integration_id: newId() }))),
      JSON.stringify(LIMITS),
      flow.window,
      flow.tokens,
    ],
  );
  return await readSenders(tx, tenants);
}

async function readSenders(tx: Tx, tenants: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = await tx.query<Sender>(
    `SELECT tenant, integration_id AS "integrationId" FROM dispatcher.integrations
     WHERE tenant = ANY($1) AND is_internal`,
    [tenants],
  );
  return new Map(rows.map(({ tenant, integrationId }) => [tenant, integrationId]));
}
