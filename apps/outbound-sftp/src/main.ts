import { loadConfig } from '@heddle/platform';

import { startOutboundSftp } from './app.js';
import { Config } from './config.js';

await startOutboundSftp(loadConfig(Config, process.env));
