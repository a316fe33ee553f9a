import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import {
  DESTINATION_KINDS,
  DeliveryPage,
  IntegrationPage,
  IntegrationTest,
  IntegrationVersionPage,
  IntegrationView,
} from '@heddle/contracts';
import { connectDataSource, query } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger, newId } from '@heddle/platform';
import { SecretSealer, parseKeyring } from '@heddle/secrets';
import { eventually } from '@heddle/testing';

import { rotateSecrets } from '../src/integrations/rotate-secrets.js';
import { dispatcherDataSource } from '../src/schema/data-source.js';

import { KEYS, done, failed, order, started } from './harness.js';
import { LiveDispatcher, integrationInput } from './live.js';

const BASE = '/api/v2/integrations';
let live: LiveDispatcher;
let dataSource: DataSource;

beforeAll(async () => {
  live = await LiveDispatcher.start({
    TEST_WAIT_MS: '5000',
    PUBLIC_URL: 'https://hub.example',
    PUBLIC_HOSTS: 'shop.example=demo',
  });
  dataSource = dispatcherDataSource({
    DATABASE_URL: live.environment['DATABASE_URL']!,
    DATABASE_POOL_SIZE: 2,
  });
  await connectDataSource(dataSource, { logger: createLogger({ service: 'test', level: 'error' }) });
}, 60_000);
afterAll(async () => {
  await dataSource.destroy();
  await live.stop();
}, 30_000);

async function created(
  change: Readonly<Record<string, unknown>> = {},
  tenant = newTenant(),
): Promise<{ id: string; tenant: string }> {
  const { status, body } = await live.call('POST', BASE, { body: integrationInput(change), tenant });
  expect({ status, body }).toMatchObject({ status: 201 });
  return { id: body.integrationId, tenant };
}

async function approved(
  change: Readonly<Record<string, unknown>> = {},
): Promise<{ id: string; tenant: string }> {
  const given = await created(change);
  const { status } = await live.call('POST', `${BASE}/${given.id}/approve`, {
    ...given,
    body: { version: 1 },
  });
  expect(status).toBe(200);
  return given;
}

function azureInput({ endpoint = 'https://press.azure.invalid', sig = 'c2VjcmV0' } = {}) {
  return {
    destination: 'azure-blob',
    settings: {
      'connection-string-secure': `BlobEndpoint=${endpoint};SharedAccessSignature=sv=2025-07-05&sr=c&sp=w&sig=${sig}`,
      container: 'in-box',
    },
  };
}

async function versionsOf(id: string): Promise<readonly { readonly target: number }[]> {
  return await query(
    dataSource,
    `SELECT target_version AS target, v.* FROM dispatcher.integration_versions v WHERE integration_id = $1 ORDER BY version`,
    [id],
  );
}

let tenants = 0;
function newTenant(): string {
  tenants += 1;
  return `tenant-${String(tenants)}`;
}

describe('testing an integration', () => {
  const test = async ({ id, tenant }: { readonly id: string; readonly tenant: string }) => {
    const { status, body } = await live.call('POST', `${BASE}/${id}/test`, { tenant });
    return { status, body: body as unknown };
  };
  beforeEach(() => {
    live.work = (offer) => [started(offer), done(offer)];
    live.offers.length = 0;
    live.finished.length = 0;
  });

  it('answers with the receipt of a labelled sample, also before anybody has approved it', async () => {
    const { status, body } = await test(await created());
    expect(status).toBe(200);
    expect(IntegrationTest.parse(body)).toMatchObject({
      outcome: 'succeeded',
      code: null,
      integrationVersion: 1,
      receipts: [{ name: 'HEDDLE-TEST.txt', location: expect.any(String) }],
    });
    expect(live.offers).toMatchObject([
      {
        recipeIds: ['HEDDLE-TEST'],
        files: [{ source: { text: expect.stringContaining('test an integration') } }],
      },
    ]);
  });

  it('sends the same bytes under the same name each time, so that a second test leaves no second file', async () => {
    const given = await created();
    await test(given);
    await test(given);
    expect(live.offers).toHaveLength(2);
    expect(live.offers[1]?.files).toEqual(live.offers[0]?.files);
  });

  it("answers with the failure's code and words", async () => {
    live.work = (offer) => [started(offer), failed(offer, 'ACCESS_DENIED')];
    expect(await test(await created())).toMatchObject({
      status: 200,
      body: { outcome: 'failed', code: 'ACCESS_DENIED', message: 'writing: refused', receipts: [] },
    });
  });

  it('does not wait for ever, and lets one test at a time go out', async () => {
    live.work = () => [];
    const given = await created();
    const [first, second] = await Promise.all([test(given), test(given)]);
    expect([first.status, second.status].toSorted()).toEqual([200, 409]);
    expect([first.body, second.body]).toContainEqual(
      expect.objectContaining({ outcome: 'failed', code: 'NO_REPORT' }),
    );
  });

  it('shows in no list, spends nothing of the integration and is told to nobody', async () => {
    const given = await approved();
    live.work = (offer) => [started(offer), failed(offer, 'TIMEOUT')];
    for (let index = 0; index < 6; index += 1) await test(given);
    const { body } = await live.call('GET', '/api/v2/deliveries', given);
    expect(body.items).toEqual([]);
    expect(live.finished).toEqual([]);
    expect(
      await query(
        dataSource,
        'SELECT failures, probe_at FROM dispatcher.integration_flow WHERE integration_id = $1',
        [given.id],
      ),
    ).toEqual([{ failures: 0, probe_at: null }]);
  });

  it('does not take a stored secret to another host before somebody has approved that', async () => {
    const given = await approved();
    const settings = { host: 'other.example', 'password-secret': '********' };
    const moved = await live.call('PATCH', `${BASE}/${given.id}`, { ...given, body: { settings } });
    expect(moved.body).toMatchObject({ version: 2, approvedVersion: 1 });

    const asked = await live.call('POST', `${BASE}/${given.id}/test`, {
      ...given,
      permissions: ['integrations:manage'],
    });
    expect(asked.status).toBe(403);
    expect(live.offers).toEqual([]);

    const approver = await live.call('POST', `${BASE}/${given.id}/test`, {
      ...given,
      permissions: ['integrations:manage', 'integrations:approve'],
    });
    expect(approver.status).toBe(200);
  });

  it('is refused for one that is disabled, unknown, or of another tenant', async () => {
    const given = await approved();
    expect((await test({ ...given, tenant: newTenant() })).status).toBe(404);
    await live.call('POST', `${BASE}/${given.id}/disable`, given);
    expect((await test(given)).status).toBe(409);
    expect(live.offers).toEqual([]);
  });
});

describe('creating an integration', () => {
  it('answers with it, pending review, secrets masked, defaults filled in', async () => {
    const { status, body, headers } = await live.call('POST', BASE, {
      body: integrationInput(),
      tenant: newTenant(),
    });
    expect(status).toBe(201);
    expect(IntegrationView.parse(body)).toMatchObject({
      status: 'pending-review',
      version: 1,
      approvedVersion: null,
      activeFrom: null,
      triggers: ['order.submitted', 'order.updated'],
      settings: { 'password-secret': '********', directory: '/in/{channel}' },
      limits: { window: 16, perSecond: null },
    });
    expect(headers.get('etag')).toBe('"1"');
  });

  it('keeps no secret in the clear, in any table', async () => {
    await created();
    const tables = await query<{ name: string }>(
      dataSource,
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'dispatcher'`,
    );
    for (const { name } of tables) {
      const rows = await query<{ row: string }>(
        dataSource,
        `SELECT t::text AS row FROM dispatcher.${name} t`,
      );
      expect([name, rows.filter(({ row }) => row.includes('s3cret-password'))]).toEqual([name, []]);
    }
  });

  it('names every fault with its pointer', async () => {
    const { status, body, headers } = await live.call('POST', BASE, {
      body: integrationInput({
        triggers: ['order.eaten'],
        colour: 'red',
        settings: { host: 'a b', port: 0, shoe: 1 },
      }),
    });
    expect(status).toBe(400);
    expect(headers.get('content-type')).toBe('application/problem+json');
    const pointers = body.errors.map(({ pointer }) => pointer);
    expect(new Set(pointers)).toEqual(
      new Set([
        '',
        '/triggers/0',
        '/settings',
        '/settings/host',
        '/settings/port',
        '/settings/username',
        '/settings/host-key-sha256',
      ]),
    );
  });

  it.each([
    ['10.0.0.1', 22],
    ['169.254.169.254', 22],
    ['::1', 22],
    ['localhost', 22],
    ['127.0.0.1', 2223],
  ])('refuses the private address %s:%s as the worker would', async (host, port) => {
    const settings = { ...(integrationInput()['settings'] as object), host, port };
    const { status, body } = await live.call('POST', BASE, { body: integrationInput({ settings }) });
    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ pointer: '/settings/host' }]);
    expect(JSON.stringify(body)).not.toContain(host);
  });

  it.each([
    'http://127.0.0.1:10000/account',
    'https://127.0.0.1/account',
    'https://[::ffff:10.0.0.1]',
    'https://0x7f.1',
    'https://localhost',
    'https://169.254.169.254',
    'http://8.8.8.8',
  ])('refuses the private blob endpoint %s as the worker would', async (endpoint) => {
    const { status, body } = await live.call('POST', BASE, { body: azureInput({ endpoint }) });

    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ pointer: '/settings/connection-string-secure' }]);
    // The id of the request has any digits.
    expect(JSON.stringify({ ...body, requestId: '' })).not.toMatch(/127|10\.0|localhost|169|sig=/);
  });

  it('names the reason for a connection string that cannot be used, and repeats none of it', async () => {
    const settings = {
      'connection-string-secure': 'AccountName=pressroom;AccountKey=aHVudGVyMg==',
      container: 'In_box',
      directory: 'in',
    };
    const { status, body } = await live.call('POST', BASE, { body: { ...azureInput(), settings } });

    expect(status).toBe(400);
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted()).toEqual([
      '/settings',
      '/settings/connection-string-secure',
      '/settings/container',
    ]);
    expect(JSON.stringify(body)).toContain('account key');
    expect(JSON.stringify(body)).not.toMatch(/pressroom|aHVudGVyMg/);
  });

  it('shows a connection string to nobody, keeps it where its mask comes back, and has a new one reviewed', async () => {
    const { id, tenant } = await approved(azureInput({ endpoint: 'https://press.azure.invalid' }));
    const read = await live.call('GET', `${BASE}/${id}`, { tenant });
    expect(read.body.settings).toMatchObject({ 'connection-string-secure': '********', container: 'in-box' });
    const patch = (settings: object) => live.call('PATCH', `${BASE}/${id}`, { tenant, body: { settings } });

    const same = await patch({ 'connection-string-secure': '********', overwrite: false });
    expect(same.body).toMatchObject({ version: 2, approvedVersion: 2 });
    const moved = await patch({ container: 'out-box' });
    expect(moved.body).toMatchObject({ version: 3, approvedVersion: 2 });
    const away = azureInput({ endpoint: 'https://other.azure.invalid' }).settings;
    expect((await patch({ ...away, container: 'in-box' })).body).toMatchObject({
      version: 4,
      approvedVersion: 2,
    });
    expect((await patch(azureInput({ endpoint: 'https://127.0.0.1' }).settings)).status).toBe(400);
  });

  it('takes a name that does not resolve at the moment', async () => {
    const settings = { ...(integrationInput()['settings'] as object), host: 'sftp.press-room.invalid' };
    await created({ settings });
  });

  it('gives the first answer again for the same Idempotency-Key, and refuses another body', async () => {
    const tenant = newTenant();
    const headers = { 'idempotency-key': newId() };
    const first = await live.call('POST', BASE, { body: integrationInput(), tenant, headers });
    const again = await live.call('POST', BASE, { body: integrationInput(), tenant, headers });
    expect(again.body).toEqual(first.body);
    const other = await live.call('POST', BASE, {
      body: integrationInput({ description: 'x' }),
      tenant,
      headers,
    });
    expect(other.status).toBe(422);
    expect((await live.call('GET', BASE, { tenant })).body.items).toHaveLength(1);
  });

  it.each([
    ['not json', '{', 400],
    ['a NUL', '{"description":"a\\u0000b"}', 400],
    ['half a surrogate pair', '{"description":"\\ud800"}', 400],
    ['too deep nesting', `${'['.repeat(70)}${']'.repeat(70)}`, 400],
  ])('refuses %s', async (_, text, expected) => {
    const { status } = await fetch(`${live.url}${BASE}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await live.token()}`, 'content-type': 'application/json' },
      body: text,
    });
    expect(status).toBe(expected);
  });
});

describe('an integration that calls a hook', () => {
  const hookInput = (hookUrl: string): Record<string, unknown> =>
    integrationInput({ destination: 'zapier', settings: { 'hook-url': hookUrl } });

  it.each([
    ['a private host', 'https://10.0.0.1/hooks/catch/1/s3cret/'],
    ['a metadata address', 'https://169.254.169.254/s3cret'],
    ['another spelling of a private address', 'https://0x7f000001/s3cret'],
    ['a private address as IPv6', 'https://[::ffff:10.0.0.1]/s3cret'],
    ['a name of a private address', 'https://localhost/s3cret'],
    ['the address of the hub', 'https://hub.example/s3cret'],
    ['another public name of the hub', 'https://Shop.example/s3cret'],
    ['http', 'http://192.0.2.1/s3cret'],
    ['a port that nobody opened', 'https://93.184.216.34:8443/s3cret'],
    ['credentials', 'https://me:s3cret@hooks.example/a'],
  ])('is refused with %s, and the answer repeats nothing of it', async (_, hookUrl) => {
    const { status, body } = await live.call('POST', BASE, { body: hookInput(hookUrl) });

    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ pointer: '/settings/hook-url' }]);
    expect(JSON.stringify(body)).not.toMatch(/s3cret|10\.0|localhost|192\.0|93\.184/);
  });

  it('never shows its hook again, and keeps it where the mask is written back', async () => {
    const tenant = newTenant();
    const hook = 'https://93.184.216.34/hooks/catch/1/s3cret/';
    const { body } = await live.call('POST', BASE, { body: hookInput(hook), tenant });
    expect(body.settings).toEqual({ 'hook-url': '********', 'recipe-links': 'signed' });

    const path = `${BASE}/${body.integrationId}`;
    const settings = { 'hook-url': '********', 'recipe-links': 'public' };
    const changed = await live.call('PATCH', path, { body: { settings }, tenant });

    expect(changed.body).toMatchObject({ version: 2, settings });
    const rows = await query<{ hook: string }>(
      dataSource,
      `SELECT settings->>'hook-url' AS hook FROM dispatcher.integration_versions WHERE integration_id = $1`,
      [body.integrationId],
    );
    expect(new Set(rows.map(({ hook: sealed }) => sealed)).size).toBe(1);
    expect(JSON.stringify(rows)).not.toContain('s3cret');
  });

  it('waits for approval with another hook, which is checked like the first', async () => {
    const { status, body } = await live.call('POST', BASE, { body: hookInput('https://93.184.216.34/a') });
    expect(status).toBe(201);
    const path = `${BASE}/${body.integrationId}`;
    await live.call('POST', `${path}/approve`, { body: { version: 1 } });

    const refused = await live.call('PATCH', path, {
      body: { settings: { 'hook-url': 'https://10.0.0.1/a' } },
    });
    expect(refused.status).toBe(400);
    const changed = await live.call('PATCH', path, {
      body: { settings: { 'hook-url': 'https://93.184.216.34/b' } },
    });

    expect(changed.body).toMatchObject({ version: 2, approvedVersion: 1 });
  });
});

describe('a change of the master key', () => {
  it('rewraps every secret, and what is sealed still opens with the new key alone', async () => {
    const { id, tenant } = await created();
    const keyring = (kid: string, byte: number): string =>
      `${kid}:${Buffer.alloc(32, byte).toString('base64')}`;
    const both = new SecretSealer(parseKeyring(`${keyring('next', 9)},${KEYS}`));
    expect(await rotateSecrets(dataSource, both)).toBeGreaterThan(0);
    expect(await rotateSecrets(dataSource, both)).toBe(0);
    const [row] = await query<{ settings: Record<string, string> }>(
      dataSource,
      'SELECT settings FROM dispatcher.integration_versions WHERE integration_id = $1',
      [id],
    );
    const place = { tenant, integrationId: id, field: 'password-secret' };
    const next = new SecretSealer(parseKeyring(keyring('next', 9)));
    expect(next.open(row!.settings['password-secret']!, place)).toBe('s3cret-password');
  });
});

describe('review', () => {
  it('needs its own permission', async () => {
    const given = await created();
    for (const decision of ['approve', 'reject']) {
      const { status } = await live.call('POST', `${BASE}/${given.id}/${decision}`, {
        ...given,
        permissions: ['integrations:manage'],
        body: { version: 1 },
      });
      expect(status).toBe(403);
    }
  });

  it('enables, says since when, and writes down who', async () => {
    const { id, tenant } = await approved();
    const { body } = await live.call('GET', `${BASE}/${id}`, { tenant });
    expect(body).toMatchObject({ status: 'enabled', approvedVersion: 1, activeFrom: expect.any(String) });
    const versions = IntegrationVersionPage.parse(
      (await live.call('GET', `${BASE}/${id}/versions`, { tenant })).body,
    );
    expect(versions.items).toMatchObject([
      { version: 1, status: 'approved', actor: 'key:one', decidedBy: 'key:one' },
    ]);
    const audit = await live.call('GET', '/api/v2/audit', { tenant });
    expect(audit.body.items.map(({ action }) => action)).toEqual([
      'integration.approved',
      'integration.created',
    ]);
  });

  it('keeps the approved version at work while a change of where data goes waits', async () => {
    const { id, tenant } = await approved();
    const change = { settings: { directory: '/elsewhere' } };
    const patched = await live.call('PATCH', `${BASE}/${id}`, { tenant, body: change });
    expect(patched.body).toMatchObject({
      status: 'enabled',
      version: 2,
      approvedVersion: 1,
      settings: { directory: '/elsewhere', 'password-secret': '********' },
    });
    const { body } = await live.call('POST', `${BASE}/${id}/approve`, { tenant, body: { version: 2 } });
    expect(body).toMatchObject({ version: 2, approvedVersion: 2 });
    const versions = await live.call('GET', `${BASE}/${id}/versions`, { tenant });
    expect(versions.body.items).toMatchObject([{ status: 'approved' }, { status: 'superseded' }]);
  });

  it('knows since which version data goes where it goes', async () => {
    const { id, tenant } = await approved();
    const patch = (body: object) => live.call('PATCH', `${BASE}/${id}`, { tenant, body });
    await patch({ description: 'Hall 3' });
    await patch({ settings: { directory: '/elsewhere' } });
    await patch({ settings: { directory: '/in/{channel}' }, description: 'Hall 4' });
    await patch({ settings: { directory: '/elsewhere' } });
    await live.call('POST', `${BASE}/${id}/approve`, { tenant, body: { version: 5 } });
    await patch({ description: 'Hall 5' });

    expect((await versionsOf(id)).map(({ target }) => target)).toEqual([1, 1, 3, 1, 5, 5]);
  });

  it('has a new credential reviewed, and knows that data goes where it went', async () => {
    const { id, tenant } = await approved(azureInput());
    const patch = (body: object) => live.call('PATCH', `${BASE}/${id}`, { tenant, body });
    const fresh = await patch({ settings: azureInput({ sig: 'ZnJlc2g' }).settings });
    expect(fresh.body).toMatchObject({ version: 2, approvedVersion: 1 });
    // With the string of the version that waits, which is not the one that is approved.
    await patch({ description: 'Hall 3', settings: { 'connection-string-secure': '********' } });
    await live.call('POST', `${BASE}/${id}/approve`, { tenant, body: { version: 3 } });
    const { settings } = azureInput({ endpoint: 'https://other.azure.invalid' });
    await patch({ settings });
    await patch({ settings: azureInput({ sig: 'YWdhaW4' }).settings });

    const rows = await versionsOf(id);
    expect(rows.map(({ target }) => target)).toEqual([1, 1, 1, 4, 1]);
    expect(JSON.stringify(rows)).not.toMatch(/c2VjcmV0|ZnJlc2g|YWdhaW4/);
  });

  it('lets a change of description, lists or password work at once', async () => {
    const { id, tenant } = await approved();
    const change = {
      description: 'Hall 3',
      'failure-notification-list': 'ops@example.org',
      settings: { 'password-secret': 'rotated-secret' },
    };
    const { body } = await live.call('PATCH', `${BASE}/${id}`, { tenant, body: change });
    expect(body).toMatchObject({ version: 2, approvedVersion: 2, description: 'Hall 3' });
  });

  it('approves only the version that is there to be reviewed', async () => {
    const { id, tenant } = await created();
    const approve = (version: number) =>
      live.call('POST', `${BASE}/${id}/approve`, { tenant, body: { version } });
    expect((await approve(2)).status).toBe(409);
    await live.call('PATCH', `${BASE}/${id}`, { tenant, body: { triggers: ['order.submitted'] } });
    expect((await approve(1)).status).toBe(409);
    expect((await approve(2)).status).toBe(200);
    expect((await approve(2)).body).toMatchObject({ status: 'enabled', version: 2 });
  });

  it('rejects, and takes a better version to review again', async () => {
    const { id, tenant } = await created();
    const rejected = await live.call('POST', `${BASE}/${id}/reject`, { tenant, body: { version: 1 } });
    expect(rejected.body).toMatchObject({ status: 'rejected', approvedVersion: null });
    const patched = await live.call('PATCH', `${BASE}/${id}`, { tenant, body: { description: 'better' } });
    expect(patched.body).toMatchObject({ status: 'pending-review', version: 2 });
  });
});

describe('changing an integration', () => {
  it('writes no version for a change that changes nothing, the mask of a secret included', async () => {
    const { id, tenant } = await approved();
    const { body } = await live.call('GET', `${BASE}/${id}`, { tenant });
    const same = await live.call('PATCH', `${BASE}/${id}`, { tenant, body: { settings: body.settings } });
    expect(same.body).toMatchObject({ version: 1, approvedVersion: 1 });
  });

  it('judges the whole after the merge', async () => {
    const { id, tenant } = await created();
    const patch = (body: unknown) => live.call('PATCH', `${BASE}/${id}`, { tenant, body });
    expect((await patch({ settings: { 'password-secret': null } })).body.errors).toMatchObject([
      { pointer: '/settings/password-secret' },
    ]);
    expect((await patch({ settings: { 'passphrase-secret': '********' } })).status).toBe(400);
    expect((await patch({ status: 'enabled' })).status).toBe(400);
    expect((await patch({ destination: 'email' })).status).toBe(400);
    expect((await patch([])).status).toBe(400);
    const swapped = await patch({
      settings: { 'password-secret': null, 'private-key-secret': 'PRIVATE KEY' },
    });
    expect(swapped.body.settings).toMatchObject({ 'private-key-secret': '********' });
    expect(swapped.body.settings).not.toHaveProperty('password-secret');
  });

  it('refuses a change of what has changed since it was read', async () => {
    const { id, tenant } = await created();
    const { headers } = await live.call('GET', `${BASE}/${id}`, { tenant });
    const etag = headers.get('etag')!;
    const patch = (description: string) =>
      live.call('PATCH', `${BASE}/${id}`, { tenant, body: { description }, headers: { 'if-match': etag } });
    expect((await patch('one')).status).toBe(200);
    expect((await patch('two')).status).toBe(412);
    const gone = await live.call('DELETE', `${BASE}/${id}`, { tenant, headers: { 'if-match': etag } });
    expect(gone.status).toBe(412);
  });

  it('takes turns: of many changes at once none is lost', async () => {
    const { id, tenant } = await created();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        live.call('PATCH', `${BASE}/${id}`, { tenant, body: { description: `text ${String(n)}` } }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    expect(new Set(answers.map(({ body }) => body.version)).size).toBe(8);
  });
});

describe('operating an integration', () => {
  it('pauses and resumes only what is enabled, and enables again what was disabled by approval alone', async () => {
    const { id, tenant } = await created();
    const post = (command: string, body?: unknown) =>
      live.call('POST', `${BASE}/${id}/${command}`, { tenant, body });
    expect((await post('pause')).status).toBe(409);
    await post('approve', { version: 1 });
    expect((await post('pause')).body).toMatchObject({ status: 'paused' });
    expect((await post('resume')).body).toMatchObject({ status: 'enabled' });
    expect((await post('disable')).body).toMatchObject({ status: 'disabled' });
    expect((await post('resume')).status).toBe(409);
    expect((await post('approve', { version: 1 })).body).toMatchObject({
      status: 'enabled',
      approvedVersion: 1,
    });
  });

  it('forgets a deleted one but keeps its deliveries readable', async () => {
    live.work = () => [];
    const { id, tenant } = await approved();
    const orderUid = newId();
    await live.say('order.submitted', order({ tenant, orderUid, acceptedAt: new Date().toISOString() }));
    await eventually(
      async () => {
        const { body } = await live.call('GET', `/api/v2/deliveries?orderUid=${orderUid}`, { tenant });
        expect(body.items).toMatchObject([{ state: 'in-flight' }]);
      },
      { withinMs: 15_000 },
    );
    expect((await live.call('DELETE', `${BASE}/${id}`, { tenant })).status).toBe(204);
    expect((await live.call('GET', `${BASE}/${id}`, { tenant })).status).toBe(404);
    expect((await live.call('GET', BASE, { tenant })).body.items).toEqual([]);
    const { body } = await live.call('GET', `/api/v2/deliveries?integrationId=${id}`, { tenant });
    expect(DeliveryPage.parse(body).items).toHaveLength(1);
  });
});

describe('reading', () => {
  it('pages through lists without loss or repetition, newest first', async () => {
    const tenant = newTenant();
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push((await created({}, tenant)).id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page = IntegrationPage.parse(
        (await live.call('GET', `${BASE}?limit=2${query}`, { tenant })).body,
      );
      seen.push(...page.items.map(({ integrationId }) => integrationId));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(ids.toReversed());
  });

  it('binds a cursor to its tenant and filters, and names bad parameters', async () => {
    const tenant = newTenant();
    await created({}, tenant);
    await created({}, tenant);
    const { nextCursor } = (await live.call('GET', `${BASE}?limit=1`, { tenant })).body;
    const cursor = encodeURIComponent(nextCursor ?? '');
    expect(
      (await live.call('GET', `${BASE}?limit=1&status=enabled&cursor=${cursor}`, { tenant })).status,
    ).toBe(400);
    expect((await live.call('GET', `${BASE}?limit=1&cursor=${cursor}`, { tenant: newTenant() })).status).toBe(
      400,
    );
    const bad = await live.call('GET', '/api/v2/deliveries?limit=900&state=lost');
    expect(bad.body.errors.map(({ pointer }) => pointer)).toEqual(['?limit', '?state']);
  });

  it('shows nothing of another tenant', async () => {
    const { id } = await approved();
    const stranger = newTenant();
    const calls = [
      ['GET', `${BASE}/${id}`],
      ['GET', `${BASE}/${id}/versions`],
      ['PATCH', `${BASE}/${id}`, {}],
      ['DELETE', `${BASE}/${id}`],
      ['POST', `${BASE}/${id}/approve`, { version: 1 }],
      ['POST', `${BASE}/${id}/pause`],
      ['POST', `${BASE}/${id}/disable`],
    ] as const;
    for (const [method, path, body] of calls)
      expect([method, path, (await live.call(method, path, { tenant: stranger, body })).status]).toEqual([
        method,
        path,
        404,
      ]);
    expect((await live.call('GET', '/api/v2/audit', { tenant: stranger })).body.items).toEqual([]);
    expect((await live.call('GET', '/api/v2/deliveries', { tenant: stranger })).body.items).toEqual([]);
  });

  it('shows the settings of each destination as a JSON Schema to any key', async () => {
    const { status, body } = await live.call('GET', '/api/v2/destinations', { permissions: [] });
    expect(status).toBe(200);
    expect(body.items.map(({ destination }) => destination)).toEqual([...DESTINATION_KINDS]);
    expect(body.items.find(({ destination }) => destination === 'sftp')).toMatchObject({
      settings: { type: 'object', properties: { host: {}, 'password-secret': { secret: true } } },
    });
    expect(body.items.find(({ destination }) => destination === 'azure-blob')).toMatchObject({
      settings: {
        properties: {
          container: {},
          'connection-string-secure': { secret: true },
          overwrite: { default: true },
        },
      },
    });
  });

  it('answers nobody without a token, and 404 to what is no id', async () => {
    expect((await fetch(`${live.url}${BASE}`)).status).toBe(401);
    expect((await live.call('GET', `${BASE}/x`)).status).toBe(404);
    expect((await live.call('GET', `/api/v2/deliveries/${newId()}`)).status).toBe(404);
    expect((await live.call('GET', BASE, { permissions: ['orders:read'] })).status).toBe(403);
  });
});
