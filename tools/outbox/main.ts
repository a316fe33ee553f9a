import { listRefused, requeueRefused } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';

import { UsageError, runCommand } from '../local/command.js';
import { withTables } from '../local/local-database.js';
import { SERVICES_WITH_TABLES } from '../local/services-with-tables.js';

const USAGE = `usage: npm run outbox -- list <service>
       npm run outbox -- requeue <service> <id> [<id> ...]

Events that Kafka refused for good: what they are and why, and once the cause is gone, back to be published.
Services: ${Object.keys(SERVICES_WITH_TABLES).join(', ')}.
DATABASE_URL chooses another database than the one of npm start.
`;

const PAGE = 100;

async function list(dataSource: DataSource, schema: string): Promise<void> {
  const rows = await listRefused(dataSource, schema, PAGE);
  for (const { id, topic, key, type, refusedAt, reason } of rows) {
    process.stdout.write(`${id.padStart(8)}  ${refusedAt.toISOString()}  ${topic}  ${key}  ${type}\n`);
    process.stdout.write(`          ${reason}\n`);
  }
  if (rows.length === 0) process.stdout.write('nothing was refused\n');
  if (rows.length === PAGE) process.stdout.write(`these are the oldest ${String(PAGE)}\n`);
}

async function requeue(dataSource: DataSource, schema: string, ids: readonly string[]): Promise<void> {
  const moved = await requeueRefused(dataSource, schema, ids);
  process.stdout.write(`${String(moved)} of ${String(ids.length)} will be published again\n`);
  if (moved < ids.length) throw new Error('The others are not among the refused: `list` shows those.');
}

/** @throws {UsageError} before anything is connected. */
async function main([name, service, ...ids]: readonly string[]): Promise<void> {
  if (name !== 'list' && name !== 'requeue') throw new UsageError('');
  const known = service === undefined ? undefined : SERVICES_WITH_TABLES[service];
  if (known === undefined) throw new UsageError('Which service?\n');
  const { schema } = known;
  if (name === 'requeue' && (ids.length === 0 || !ids.every((id) => /^\d{1,18}$/.test(id))))
    throw new UsageError('Ids are numbers; `list` shows them.\n');
  const logger = createLogger({ service: 'outbox', level: 'error' });
  await withTables(process.env, { schema, command: 'outbox', logger }, (dataSource) =>
    name === 'list' ? list(dataSource, schema) : requeue(dataSource, schema, ids),
  );
}

await runCommand(USAGE, main);
