import { isDeepStrictEqual } from 'node:util';

import { IntegrationPage, IntegrationView, PERMISSIONS } from '@heddle/contracts';
import { approveIntegration, createIntegration, createKey, createTenant } from '@heddle/testing';
import type { AdminCommand, HubClient } from '@heddle/testing';

import type { SandboxIntegration } from './sandboxes.js';
import type { LocalState } from './state.js';

export const TENANT = 'demo';
/** Told in the sandbox mailbox what could not be delivered. */
const OPERATORS = 'ops@demo.example';

export interface DemoKeys {
  readonly apiKey: string;
  readonly adminApiKey: string;
}

export function forgetKeys(state: LocalState): void {
  delete state.apiKey;
  delete state.adminApiKey;
}

/**
 * The tenant and its two keys, made once for each database.
 *
 * @param database tells one database from another, whatever its address is this time.
 */
export async function ensureKeys(
  state: LocalState,
  command: AdminCommand,
  database: string,
): Promise<DemoKeys> {
  if (state.apiKey !== undefined && state.adminApiKey !== undefined && state.database === database) {
    return { apiKey: state.apiKey, adminApiKey: state.adminApiKey };
  }
  await createTenant(command, TENANT);
  const [apiKey, adminApiKey] = await Promise.all([
    createKey(command, {
      tenant: TENANT,
      name: 'demo',
      permissions: ['order-tracking', 'recipes:write', 'orders:read', 'deliveries:read'],
    }),
    createKey(command, { tenant: TENANT, name: 'demo administration', permissions: PERMISSIONS }),
  ]);
  state.integrations = {};
  Object.assign(state, { apiKey, adminApiKey, database });
  return { apiKey, adminApiKey };
}

/** Enabled integrations to the sandboxes, through the API that everybody uses. */
export async function ensureIntegrations(
  state: LocalState,
  admin: HubClient,
  wanted: readonly SandboxIntegration[],
): Promise<void> {
  const page = IntegrationPage.parse(await admin.expect('GET', '/api/v2/integrations?limit=200'));
  await Promise.all(
    wanted.map(async ({ destination, description, settings }) => {
      // A start that was killed may have made it and not kept its id: its description tells.
      const view = page.items.find((each) => each.description === description);
      const known = state.integrations[destination];
      if (view === undefined) {
        const created = await createIntegration(admin, {
          destination,
          description,
          'failure-notification-list': OPERATORS,
          settings,
        });
        state.integrations[destination] = { integrationId: created.integrationId, settings };
        return;
      }
      const isCurrent =
        known?.integrationId === view.integrationId && isDeepStrictEqual(known.settings, settings);
      if (!isCurrent) {
        const changed = await admin.expect('PATCH', `/api/v2/integrations/${view.integrationId}`, {
          settings,
        });
        await approveIntegration(admin, IntegrationView.parse(changed));
        state.integrations[destination] = { integrationId: view.integrationId, settings };
      }
    }),
  );
}
