import { createDataSource } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { Logger } from '@heddle/platform';

import { dispatcherMigrations } from './index.js';
import { SCHEMA } from './schema.js';

/**
 * Tables that fill and empty within seconds make statistics lie, and a plan for an empty table is ruinous for a
 * full one: every statement here has an index, and takes it.
 */
const SETTINGS = { enable_seqscan: 'off', jit: 'off' };

export function dispatcherDataSource(
  config: { readonly DATABASE_URL: string; readonly DATABASE_POOL_SIZE: number },
  logger?: Logger,
): DataSource {
  return createDataSource({
    url: config.DATABASE_URL,
    poolSize: config.DATABASE_POOL_SIZE,
    applicationName: 'dispatcher',
    schema: SCHEMA,
    migrations: dispatcherMigrations,
    settings: SETTINGS,
    ...(logger === undefined ? {} : { logger }),
  });
}
