import { loadConfig } from '@heddle/platform';

import { Config } from './config.js';
import { startGateway } from './gateway.js';
import { VERSION } from './version.js';

await startGateway({ config: loadConfig(Config, process.env), version: VERSION });
