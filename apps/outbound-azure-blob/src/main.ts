import { loadConfig } from '@heddle/platform';

import { startOutboundAzureBlob } from './app.js';
import { Config } from './config.js';

await startOutboundAzureBlob(loadConfig(Config, process.env));
