import { loadConfig } from '@heddle/platform';

import { startOutboundS3 } from './app.js';
import { Config } from './config.js';

await startOutboundS3(loadConfig(Config, process.env));
