import { setTimeout as delay } from 'node:timers/promises';

import { Bench } from './harness.js';

/** A consumer in a process of its own: prints each number after its "commit", 100 ms a chunk of five. */
const [, , brokers = '', topicPrefix = ''] = process.argv;

const bench = Bench.over({ brokers: brokers.split(','), clientId: 'killed', topicPrefix });
await bench.consume(
  async ({ events }) => {
    await delay(100);
    process.stdout.write(events.map(({ data }) => `${String(data.n)}\n`).join(''));
    return undefined;
  },
  { chunkMessages: 5 },
);
