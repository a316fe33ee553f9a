import { loadConfig } from '@heddle/platform';

import { startOutboundEmail } from './app.js';
import { Config } from './config.js';

await startOutboundEmail(loadConfig(Config, process.env));
