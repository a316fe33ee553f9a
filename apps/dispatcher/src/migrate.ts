import { databaseConfig, runMigrations } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { dispatcherDataSource } from './schema/data-source.js';

const logger = createLogger({ service: 'dispatcher', level: 'info' });
await runMigrations(dispatcherDataSource(loadConfig(z.object(databaseConfig), process.env), logger));
logger.info('schema.current');
