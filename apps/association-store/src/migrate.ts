import { databaseConfig, runMigrations } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { storeDataSource } from './schema/data-source.js';

const logger = createLogger({ service: 'association-store', level: 'info' });
await runMigrations(storeDataSource(loadConfig(z.object(databaseConfig), process.env), logger));
logger.info('schema.current');
