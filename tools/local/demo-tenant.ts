import { IntegrationPage, IntegrationView, PERMISSIONS } from '@heddle/contracts';
import { approveIntegration, createIntegration, createKey, createTenant } from '@heddle/testing';
import type { AdminCommand, HubClient } from '@heddle/testing';

import type { LocalState } from './state.js';

export const TENANT = 'demo';
const DESCRIPTION = 'Sandbox SFTP server of npm start';

/**
 * The tenant and its two keys, made once for each database.
 *
 * @param database tells one database from another, whatever its address is this time.
 */
export async function ensureKeys(
  state: LocalState,
  command: AdminCommand,
  database: string,
): Promise<{ apiKey: string; adminApiKey: string }> {
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
  delete state.integrationId;
  Object.assign(state, { apiKey, adminApiKey, database });
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
    const created = await createIntegration(admin, { description: DESCRIPTION, settings });
    state.integrationId = created.integrationId;
    return;
  }
  // One that is not known may hold a password that was sealed with another key.
  const isKnown = view.integrationId === state.integrationId;
  state.integrationId = view.integrationId;
  const { port, 'host-key-sha256': hostKey } = view.settings;
  const isCurrent = port === sandbox.port && hostKey === sandbox.hostKeySha256;
  if (isKnown && isCurrent && view.approvedVersion === view.version) return;
  const changed = await admin.expect('PATCH', `/api/v2/integrations/${view.integrationId}`, { settings });
  await approveIntegration(admin, IntegrationView.parse(changed));
}

const MAIL_DESCRIPTION = 'Sandbox mailbox of npm start';

/** An enabled e-mail integration; its settings are the same on every start. */
export async function ensureMailIntegration(admin: HubClient): Promise<void> {
  const page = IntegrationPage.parse(
    await admin.expect('GET', '/api/v2/integrations?destination=email&limit=200'),
  );
  if (page.items.some(({ description }) => description === MAIL_DESCRIPTION)) return;
  await createIntegration(admin, {
    destination: 'email',
    description: MAIL_DESCRIPTION,
    settings: { to: 'factory@demo.example', 'subject-prefix': '[Demo]' },
  });
}

/** A start that was killed may have made it and not kept its id: then its description tells. */
async function existing(state: LocalState, admin: HubClient): Promise<IntegrationView | undefined> {
  if (state.integrationId !== undefined) {
    const answer = await admin.call('GET', `/api/v2/integrations/${state.integrationId}`);
    if (answer.status === 200) return IntegrationView.parse(answer.body);
  }
  const page = IntegrationPage.parse(
    await admin.expect('GET', '/api/v2/integrations?destination=sftp&limit=200'),
  );
  return page.items.find(({ description }) => description === DESCRIPTION);
}
