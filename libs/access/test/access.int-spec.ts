import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  CursorError,
  connectDataSource,
  createDataSource,
  listAudit,
  query,
  runMigrations,
} from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger, createMetrics } from '@heddle/platform';
import { createDatabase } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';

import {
  ACCESS_SCHEMA,
  ApiKeys,
  accessMigrations,
  createApiKey,
  createTenant,
  listApiKeys,
  revokeApiKey,
} from '../src/index.js';
import { saveLastUsed } from '../src/lib/api-key.repository.js';

const logger = createLogger({ service: 'loom', level: 'error', destination: { write: () => undefined } });
let database: TestDatabase;
let dataSource: DataSource;

beforeAll(async () => {
  database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
  dataSource = createDataSource({
    url: database.url,
    poolSize: 4,
    applicationName: 'loom',
    schema: ACCESS_SCHEMA,
    migrations: accessMigrations,
  });
  await runMigrations(dataSource);
  await connectDataSource(dataSource, { logger });
  await createTenant(dataSource, 'demo');
  await createTenant(dataSource, 'other');
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

const asked = { tenant: 'demo', name: 'shop', permissions: ['orders:read'], actor: 'command-line' } as const;

function apiKeys(): ApiKeys {
  return new ApiKeys({ dataSource, logger, metrics: createMetrics('loom') });
}

describe('tenants', () => {
  it('are created once', async () => {
    expect(await createTenant(dataSource, 'demo')).toBe(false);
  });

  it('have a short plain name', async () => {
    await expect(createTenant(dataSource, 'Demo Ltd')).rejects.toThrow();
  });
});

describe('API keys', () => {
  it('open the door for their tenant, permissions and channel', async () => {
    const { id, key } = await createApiKey(dataSource, { ...asked, channel: 'eu' });
    expect(await apiKeys().authenticate(key)).toEqual({
      tenant: 'demo',
      permissions: ['orders:read'],
      actor: `key:${id}`,
      channel: 'eu',
    });
  });

  it('are nowhere in the database', async () => {
    const { key } = await createApiKey(dataSource, asked);
    const secret = key.split('_').slice(2).join('_');
    const rows = await query<{ text: string }>(
      dataSource,
      'SELECT k::text AS text FROM access.api_keys AS k UNION ALL SELECT a::text FROM access.audit AS a',
    );
    expect(rows.length).toBeGreaterThan(1);
    expect(rows.filter(({ text }) => text.includes(secret))).toEqual([]);
  });

  it('are of no use once they are revoked; revoking is of the own tenant only, and safe to repeat', async () => {
    const { id, key } = await createApiKey(dataSource, asked);
    expect(await revokeApiKey(dataSource, { tenant: 'other', id, actor: 'key:x' })).toBe(false);
    expect(await apiKeys().authenticate(key)).toBeDefined();
    expect(await revokeApiKey(dataSource, { tenant: 'demo', id, actor: 'key:x' })).toBe(true);
    expect(await revokeApiKey(dataSource, { tenant: 'demo', id, actor: 'key:y' })).toBe(true);
    expect(await apiKeys().authenticate(key)).toBeUndefined();

    const { items } = await listAudit(dataSource, ACCESS_SCHEMA, { tenant: 'demo', limit: 200 });
    expect(
      items.filter(({ subject }) => subject === `key:${id}`).map(({ action, actor }) => [action, actor]),
    ).toEqual([
      ['key.revoked', 'key:x'],
      ['key.created', 'command-line'],
    ]);
  });

  it('remember when they were used last, and never go back', async () => {
    const { id } = await createApiKey(dataSource, asked);
    const lastUsedAt = async (): Promise<Date | null | undefined> => {
      const { items } = await listApiKeys(dataSource, { tenant: 'demo', limit: 200 });
      return items.find((item) => item.id === id)?.lastUsedAt;
    };
    expect(await lastUsedAt()).toBeNull();
    const [early, late] = [new Date('2031-01-01T00:00:00Z'), new Date('2031-01-02T00:00:00Z')];
    await saveLastUsed(dataSource, new Map([[id, late]]));
    await saveLastUsed(dataSource, new Map([[id, early]]));
    expect(await lastUsedAt()).toEqual(late);
  });

  it('are listed newest first, page by page, without anything to log in with', async () => {
    const created: string[] = [];
    for (let n = 0; n < 5; n += 1)
      created.push((await createApiKey(dataSource, { ...asked, tenant: 'other' })).id);
    const listed: string[] = [];
    let cursor: string | null | undefined;
    do {
      const page = await listApiKeys(dataSource, { tenant: 'other', limit: 2, cursor: cursor ?? undefined });
      listed.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
      for (const item of page.items) expect(Object.keys(item)).not.toContain('key');
    } while (cursor !== null);
    expect(listed).toEqual(created.toReversed());
  });

  it('refuse a cursor of another tenant', async () => {
    const { nextCursor } = await listApiKeys(dataSource, { tenant: 'other', limit: 1 });
    await expect(
      listApiKeys(dataSource, { tenant: 'demo', limit: 1, cursor: nextCursor ?? '' }),
    ).rejects.toThrow(CursorError);
  });
});
