import { DataSource } from 'typeorm';
import type { DataSourceOptions, QueryRunner } from 'typeorm';

import { advisoryClass } from './advisory-class.js';
import { createClient } from './data-source.js';
import type { MigrationClass } from './data-source.js';
import { toDatabaseError } from './database-error.js';
import { identifier } from './identifier.js';
import { query } from './transaction.js';

type PostgresDataSourceOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

const UNDEFINED_TABLE = '42P01';

/** Second key of the advisory lock of migrations; the outbox relay uses 0 to 64 of the same first key. */
const MIGRATION_LOCK = 100;

/**
 * A migration in SQL. Forward only.
 *
 * @param name ends in 13 digits that order it, for example `CreateOrders1763700000000`.
 */
export function migration(name: string, sql: string): MigrationClass {
  return class {
    readonly name = name;

    async up(runner: QueryRunner): Promise<void> {
      await runner.query(sql);
    }

    down(): Promise<void> {
      return Promise.reject(new TypeError('migrations go forward only'));
    }
  };
}

const LIMITS = { query_timeout: 0, statement_timeout: 0, lock_timeout: 10_000 };

/**
 * Brings the schema up to date; creates it first. Several processes may call this at once: one works, the
 * others wait and find nothing to do.
 */
export async function runMigrations(dataSource: DataSource): Promise<void> {
  const schema = schemaOf(dataSource);
  const lock = createClient(dataSource, { suffix: 'migrate', settings: {}, limits: LIMITS });
  lock.on('error', () => undefined);
  try {
    await lock.connect();
    await lock.query('SET lock_timeout = 0');
    await lock.query('SELECT pg_advisory_lock($1, $2)', [advisoryClass(schema), MIGRATION_LOCK]);
    await lock.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
    const own = new DataSource({
      ...(dataSource.options as PostgresDataSourceOptions),
      poolSize: 2,
      extra: { ...(dataSource.options.extra as object), ...LIMITS },
    });
    await own.initialize();
    try {
      await own.runMigrations({ transaction: 'each' });
    } finally {
      await own.destroy();
    }
  } catch (error) {
    throw toDatabaseError(error, `migrating the schema ${schema}`);
  } finally {
    // Ends the session, and the lock with it.
    lock.destroy();
  }
}

/**
 * For readiness: services check the version of their schema and never change it.
 *
 * @returns undefined, or what is missing.
 */
export async function schemaIsCurrent(dataSource: DataSource): Promise<string | undefined> {
  const schema = schemaOf(dataSource);
  const wanted = dataSource.migrations.map(({ name, constructor }) => name ?? constructor.name);
  try {
    const rows = await query<{ name: string }>(dataSource, `SELECT name FROM ${schema}.migrations`);
    const applied = new Set(rows.map(({ name }) => name));
    const missing = wanted.filter((name) => !applied.has(name));
    return missing.length === 0 ? undefined : `migrations are missing in ${schema}: ${missing.join(', ')}`;
  } catch (error) {
    const fault = toDatabaseError(error);
    return fault.sqlState === UNDEFINED_TABLE ? `the schema ${schema} is missing` : fault.message;
  }
}

function schemaOf(dataSource: DataSource): string {
  return identifier((dataSource.options as PostgresDataSourceOptions).schema ?? 'public');
}
