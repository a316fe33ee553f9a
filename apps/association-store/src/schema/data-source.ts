import { createDataSource } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { Logger } from '@heddle/platform';

import { SCHEMA, migrations } from './migrations.js';

/** A plan for an empty table is ruinous for a full one: every statement that orders or recipes make here has an index. */
const SETTINGS = { enable_seqscan: 'off', jit: 'off' };

export function storeDataSource(
  config: { readonly DATABASE_URL: string; readonly DATABASE_POOL_SIZE: number },
  logger?: Logger,
): DataSource {
  return createDataSource({
    url: config.DATABASE_URL,
    poolSize: config.DATABASE_POOL_SIZE,
    applicationName: 'association-store',
    schema: SCHEMA,
    migrations,
    settings: SETTINGS,
    ...(logger === undefined ? {} : { logger }),
  });
}
