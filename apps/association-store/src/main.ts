import { loadConfig } from '@heddle/platform';

import { Config } from './config.js';
import { startStore } from './store.js';

await startStore({ config: loadConfig(Config, process.env) });
