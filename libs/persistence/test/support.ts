import { createDatabase } from '@heddle/testing';
import { createLogger } from '@heddle/platform';
import type { DataSource } from 'typeorm';

import {
  AUDIT_DDL,
  IDEMPOTENCY_DDL,
  OUTBOX_DDL,
  POSITIONS_CLUSTER_DDL,
  connectDataSource,
  createDataSource,
  migration,
  runMigrations,
} from '../src/index.js';

export const SCHEMA = 'loom';

export const quiet = createLogger({
  service: 'loom',
  level: 'error',
  destination: { write: () => undefined },
});

/** Tables that only these tests use, beside those of the library. */
const migrations = [
  migration(
    'CreateLoom1763700000000',
    [OUTBOX_DDL, POSITIONS_CLUSTER_DDL, IDEMPOTENCY_DDL, AUDIT_DDL].map((ddl) => ddl(SCHEMA)).join(''),
  ),
  migration(
    'CreateThreads1763700000001',
    `CREATE TABLE loom.threads (id integer PRIMARY KEY, colour text NOT NULL CHECK (colour <> 'none'))`,
  ),
];

export function aDataSource(url: string, poolSize = 4): DataSource {
  return createDataSource({
    url,
    poolSize,
    applicationName: 'loom',
    schema: SCHEMA,
    migrations,
    logger: quiet,
  });
}

export interface TestDatabase {
  readonly url: string;
  readonly dataSource: DataSource;
  close(): Promise<void>;
}

/** A database of its own for one suite, with the tables of this library. */
export async function aDatabase(): Promise<TestDatabase> {
  const { TEST_DATABASE_URL } = process.env;
  if (TEST_DATABASE_URL === undefined) throw new TypeError('TEST_DATABASE_URL is missing');
  const server = await createDatabase(TEST_DATABASE_URL);
  const dataSource = aDataSource(server.url);
  await runMigrations(dataSource);
  await connectDataSource(dataSource, { logger: quiet });
  return {
    url: server.url,
    dataSource,
    close: async () => {
      await dataSource.destroy();
      await server.drop();
    },
  };
}

export function deferred(): { readonly promise: Promise<unknown>; readonly resolve: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return {
    promise,
    resolve: () => {
      resolve(undefined);
    },
  };
}
