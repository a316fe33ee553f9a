import { connectDataSource, databaseConfig } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { KeyringSetting, SecretSealer } from '@heddle/secrets';
import { z } from 'zod';

import { rotateSecrets } from './integrations/rotate-secrets.js';
import { dispatcherDataSource } from './schema/data-source.js';

/** `admin rotate-secrets`: afterwards keys other than the first can leave SECRETS_KEY. */
if (process.argv[2] !== 'rotate-secrets') {
  console.error('usage: admin rotate-secrets\nPrints one JSON object. Needs DATABASE_URL and SECRETS_KEY.');
  process.exit(2);
}
const logger = createLogger({ service: 'dispatcher', level: 'error' });
const config = loadConfig(z.object({ ...databaseConfig, SECRETS_KEY: KeyringSetting }), process.env);
const dataSource = dispatcherDataSource(config, logger);
await connectDataSource(dataSource, { logger });
const versions = await rotateSecrets(dataSource, new SecretSealer(config.SECRETS_KEY));
await dataSource.destroy();
console.log(JSON.stringify({ versions }));
