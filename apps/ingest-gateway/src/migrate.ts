import { databaseConfig, runMigrations } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { accessDataSource } from './database.js';

const logger = createLogger({ service: 'ingest-gateway', level: 'info' });
await runMigrations(accessDataSource(loadConfig(z.object(databaseConfig), process.env), logger));
logger.info('schema.current');
