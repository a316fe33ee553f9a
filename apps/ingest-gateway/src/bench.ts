import { loadConfig } from '@heddle/platform';

import { Config } from './config.js';
import { startGateway } from './gateway.js';
import type { EventLog } from './intake/event-log.js';
import { VERSION } from './version.js';

/** What the gateway costs without Kafka: every event counts as durable at once. Started by `npm run bench` only. */
const nowhere: EventLog = {
  isConnected: true,
  connect: () => Promise.resolve(),
  publish: (events) => Promise.resolve(events.map(() => ({ ok: true, partition: 0, offset: '0' }))),
  close: () => Promise.resolve(),
};

await startGateway({
  config: loadConfig(Config, process.env),
  version: VERSION,
  eventLog: () => nowhere,
});
