import { createRequire } from 'node:module';

/** What is used of kafkajs' queue of requests of one connection. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  /** Milliseconds since 1970; until then Kafka asked not to be asked. */
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

const require = createRequire(import.meta.url);
const { prototype } = require('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue };
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its queue below
const scheduleCheck = prototype.scheduleCheckPendingRequests;

/**
 * kafkajs 2.2.4 looks after waiting requests every millisecond, for ever and on every connection, also when none waits:
 * 2 % of a core in each idle process. Here it looks only when there is something to look after.
 * Source: https://github.com/tulios/kafkajs/issues/1704
 */
export function restIdleQueues(): void {
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) scheduleCheck.call(this);
  };
}
