import { IntegrationView, PERMISSIONS } from '@heddle/contracts';
import { approveIntegration, createIntegration, createKey, createTenant } from '@heddle/testing';
import type { AdminCommand, HubClient } from '@heddle/testing';

import type { LocalState } from './state.js';

export const TENANT = 'demo';

/** The tenant and its two keys, made once for each database. */
export async function ensureKeys(
  state: LocalState,
  command: AdminCommand,
): Promise<{ apiKey: string; adminApiKey: string }> {
  const { databaseUrl } = command;
  if (state.apiKey !== undefined && state.adminApiKey !== undefined && state.databaseUrl === databaseUrl) {
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
  delete state.integrationId;
  Object.assign(state, { apiKey, adminApiKey, databaseUrl });
  return { apiKey, adminApiKey };
}

export interface SftpAccess {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly hostKeySha256: string;
}

/** An enabled SFTP integration to the sandbox, through the API that everybody uses. */
export async function ensureIntegration(
  state: LocalState,
  admin: HubClient,
  sandbox: SftpAccess,
): Promise<void> {
  const settings = {
    host: sandbox.host,
    port: sandbox.port,
    username: sandbox.username,
    'password-secret': sandbox.password,
    'host-key-sha256': sandbox.hostKeySha256,
    directory: '.',
  };
  const view = await existing(state, admin);
  if (view === undefined) {
    const created = await createIntegration(admin, {
      description: 'Sandbox SFTP server of npm start',
      settings,
    });
    state.integrationId = created.integrationId;
    return;
  }
  const { port, 'host-key-sha256': hostKey } = view.settings;
  if (port === sandbox.port && hostKey === sandbox.hostKeySha256 && view.approvedVersion === view.version)
    return;
  const changed = await admin.expect('PATCH', `/api/v2/integrations/${view.integrationId}`, { settings });
  await approveIntegration(admin, IntegrationView.parse(changed));
}

async function existing(state: LocalState, admin: HubClient): Promise<IntegrationView | undefined> {
  if (state.integrationId === undefined) return undefined;
  const answer = await admin.call('GET', `/api/v2/integrations/${state.integrationId}`);
  return answer.status === 200 ? IntegrationView.parse(answer.body) : undefined;
}
