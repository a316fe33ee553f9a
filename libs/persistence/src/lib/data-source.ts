import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from '@heddle/platform';
import pg from 'pg';
import type { ClientConfig, Pool } from 'pg';
import { DataSource } from 'typeorm';
import type { EntitySchema, Logger as OrmLogger, MigrationInterface, MixedList } from 'typeorm';

import { clientLimits, DatabaseClient, sessionOptions } from './database-client.js';
import { toDatabaseError } from './database-error.js';
import { identifier } from './identifier.js';

export type MigrationClass = new () => MigrationInterface;

export interface DataSourceOptions {
  readonly url: string;
  readonly poolSize: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly schema: string;
  /** Listed by hand, oldest first. */
  readonly migrations: readonly MigrationClass[];
  readonly entities?: readonly (EntitySchema | (new () => object))[];
  readonly logger?: Logger;
  /** Of every session of the pool, for example `{ enable_seqscan: 'off' }`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

const SESSION = {
  /** Instants leave PostgreSQL in UTC, whatever the server's own zone. */
  timezone: 'UTC',
  /** Our statements find their rows by index whatever their parameters are: one plan fits all of them. */
  plan_cache_mode: 'force_generic_plan',
};

const nothing = (): void => undefined;

/** TypeORM's own lines hold statements and their parameters, and some go to the console even with logging off. */
const SILENT: OrmLogger = {
  log: nothing,
  logMigration: nothing,
  logQuery: nothing,
  logQueryError: nothing,
  logQuerySlow: nothing,
  logSchemaBuild: nothing,
};

/**
 * One schema of one database. Connects with `connectDataSource`.
 */
export function createDataSource(options: DataSourceOptions): DataSource {
  const {
    url,
    poolSize,
    applicationName,
    schema,
    migrations,
    entities = [],
    logger,
    settings = {},
  } = options;
  return new DataSource({
    type: 'postgres',
    driver: pg,
    url,
    poolSize,
    applicationName,
    schema: identifier(schema),
    entities: [...entities] as MixedList<EntitySchema | (new () => object)>,
    migrations: [...migrations],
    migrationsTableName: 'migrations',
    synchronize: false,
    logging: false,
    logger: SILENT,
    installExtensions: false,
    poolErrorHandler: (error: unknown) => {
      logger?.warn(
        { reason: toDatabaseError(error, 'keeping a connection').message },
        'database.connection_lost',
      );
    },
    extra: {
      ...clientLimits(),
      Client: DatabaseClient,
      options: sessionOptions({ ...SESSION, ...settings }),
      idleTimeoutMillis: 60_000,
    },
  });
}

/** A connection of its own, outside of the pool, to the same database. */
export function createClient(
  dataSource: DataSource,
  {
    suffix,
    settings,
    limits,
  }: { suffix: string; settings: Record<string, string | number>; limits?: ClientConfig },
): DatabaseClient {
  const { url, applicationName } = dataSource.options as { url?: string; applicationName?: string };
  return new DatabaseClient({
    ...clientLimits(),
    ...limits,
    ...(url !== undefined && { connectionString: url }),
    application_name: `${applicationName ?? 'heddle'}:${suffix}`,
    options: sessionOptions({ ...SESSION, ...settings }),
  });
}

/** The pool behind a data source that has been connected. */
export function poolOf(dataSource: DataSource): Pool {
  const { master } = dataSource.driver as unknown as { master?: Pool };
  if (!master) throw toDatabaseError(new Error('not connected yet'), 'using the database');
  return master;
}

/**
 * Connects, and waits for a PostgreSQL that is not there yet: a service starts in any order with what it needs.
 *
 * @param options.signal ends the waiting; the promise then rejects with its reason.
 */
export async function connectDataSource(
  dataSource: DataSource,
  { logger, signal }: { readonly logger: Logger; readonly signal?: AbortSignal },
): Promise<void> {
  for (let failures = 0; !dataSource.isInitialized; failures += 1) {
    signal?.throwIfAborted();
    try {
      await dataSource.initialize();
    } catch (error) {
      const { message } = toDatabaseError(error, 'connecting to PostgreSQL');
      logger.warn({ reason: message, failures: failures + 1 }, 'database.unreachable');
      await delay(Math.min(250 * 2 ** failures, 3_000), undefined, signal && { signal });
    }
  }
}
