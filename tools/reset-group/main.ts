import { resetGroup } from '@heddle/messaging';
import { resetPositions } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';
import { z } from 'zod';

import { UsageError, runCommand } from '../local/command.js';
import { withTables } from '../local/local-database.js';
import { kafkaOfCommand } from '../local/local-kafka.js';
import { SERVICES_WITH_TABLES } from '../local/services-with-tables.js';

const USAGE = `usage: npm run reset-group -- <service> <topic> [<topic> ...] --at=<instant>

Has a service read topics again from an instant (2026-01-31T12:00:00Z), as far as Kafka still holds them. Stop every
process of the service first. What was consumed before changes nothing when it comes again.
Services and their topics:
${Object.entries(SERVICES_WITH_TABLES)
  .map(([service, { topics }]) => `  ${service}: ${topics.join(', ')}`)
  .join('\n')}
KAFKA_BROKERS and DATABASE_URL choose another installation than the one of npm start.
`;

/** @throws {UsageError} before anything is connected. */
async function main(words: readonly string[]): Promise<void> {
  const [service, ...topics] = words.filter((word) => !word.startsWith('--'));
  const known = service === undefined ? undefined : SERVICES_WITH_TABLES[service];
  if (service === undefined || known === undefined) throw new UsageError('Which service?\n');
  const stranger = topics.find((topic) => !known.topics.includes(topic));
  if (stranger !== undefined) throw new UsageError(`${service} does not consume ${stranger}.\n`);
  if (topics.length === 0) throw new UsageError('Which topics?\n');
  const given = words.find((word) => word.startsWith('--at='))?.slice('--at='.length);
  const at = z.iso.datetime({ offset: true }).safeParse(given);
  if (!at.success) throw new UsageError('From which instant? As in --at=2026-01-31T12:00:00Z\n');

  const logger = createLogger({ service: 'reset-group', level: 'error' });
  const kafka = await kafkaOfCommand(process.env, 'reset-group');
  const { schema } = known;
  await withTables(process.env, { schema, command: 'reset-group', logger }, async (dataSource) => {
    // The group first: it refuses while a member runs, and then nothing has changed.
    await resetGroup({ kafka, logger, groupId: service, topics, at: new Date(at.data) });
    for (const topic of topics) await resetPositions(dataSource, schema, topic);
  });
  process.stdout.write(`${service} reads ${topics.join(', ')} again from ${at.data} when it starts\n`);
}

await runCommand(USAGE, main);
