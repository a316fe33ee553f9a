import { connectDataSource, createDataSource } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { Logger } from '@heddle/platform';

import { readLocalFile } from './local-file.js';
import type { Environment } from './local-kafka.js';

const CONNECT_WITHIN_MS = 10_000;

/** What a command works on, and what it is called in the log and in pg_stat_activity. */
export interface CommandTables {
  readonly schema: string;
  readonly command: string;
  readonly logger: Logger;
}

/**
 * Runs `work` on one schema of the database of a command: the one that the environment names, else the one of the
 * Heddle that runs here.
 *
 * @throws when there is neither, or it does not answer within 10 s.
 */
export async function withTables<T>(
  environment: Environment,
  { schema, command, logger }: CommandTables,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const given = environment['DATABASE_URL'];
  const isGiven = given !== undefined && given !== '';
  const url = isGiven ? given : (await readLocalFile(environment['HEDDLE_DIRECTORY'])).databaseUrl;
  const dataSource = createDataSource({
    url,
    poolSize: 1,
    applicationName: command,
    schema,
    migrations: [],
    logger,
  });
  try {
    await connectDataSource(dataSource, { logger, signal: AbortSignal.timeout(CONNECT_WITHIN_MS) });
    return await work(dataSource);
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}
