import { loadConfig } from '@heddle/platform';

import { Config } from './config.js';
import { startDispatcher } from './dispatcher.js';

await startDispatcher({ config: loadConfig(Config, process.env) });
