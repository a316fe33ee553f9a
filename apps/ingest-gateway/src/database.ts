import { ACCESS_SCHEMA, accessMigrations } from '@heddle/access';
import { createDataSource } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { Logger } from '@heddle/platform';

export const DATA_SOURCE = Symbol('DataSource');

/** The schema `access`, which the gateway owns. */
export function accessDataSource(
  config: { readonly DATABASE_URL: string; readonly DATABASE_POOL_SIZE: number },
  logger?: Logger,
): DataSource {
  return createDataSource({
    url: config.DATABASE_URL,
    poolSize: config.DATABASE_POOL_SIZE,
    applicationName: 'ingest-gateway',
    schema: ACCESS_SCHEMA,
    migrations: accessMigrations,
    ...(logger === undefined ? {} : { logger }),
  });
}
