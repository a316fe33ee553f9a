import { loadConfig } from '@heddle/platform';

import { startOutboundZapier } from './app.js';
import { Config } from './config.js';

await startOutboundZapier(loadConfig(Config, process.env));
