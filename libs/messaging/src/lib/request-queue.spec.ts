import { createRequire } from 'node:module';

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { restIdleQueues } from './request-queue.js';

interface Queue {
  throttledUntil: number;
  checkPendingRequests(): void;
  push(request: object): void;
  maybeThrottle(ms: number): void;
  destroy(): void;
}

const require = createRequire(import.meta.url);
const QueueClass = require('kafkajs/src/network/requestQueue/index.js') as new (options: object) => Queue;

describe("kafkajs' queue of requests", () => {
  let queue: Queue;
  beforeEach(() => {
    restIdleQueues();
    jest.useFakeTimers();
    const logger = { debug: () => undefined, error: () => undefined, warn: () => undefined };
    queue = new QueueClass({
      maxInFlightRequests: 5,
      requestTimeout: 1_000,
      enforceRequestTimeout: false,
      clientId: 'test',
      broker: '127.0.0.1:9092',
      logger,
    });
  });
  afterEach(() => {
    queue.destroy();
    jest.useRealTimers();
  });

  const pushed = (): { readonly sendRequest: jest.Mock } => {
    const request = {
      entry: { correlationId: 1, apiName: 'Fetch', apiKey: 1, apiVersion: 11 },
      expectResponse: true,
      requestTimeout: 1_000,
      send: jest.fn(),
    };
    const sendRequest = jest.fn();
    queue.push({ ...request, sendRequest });
    return { sendRequest };
  };

  it('sets no timer while nothing waits', () => {
    queue.checkPendingRequests();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('sends what waits once Kafka may be asked again, and then rests', () => {
    queue.maybeThrottle(500);
    const { sendRequest } = pushed();
    expect(sendRequest).not.toHaveBeenCalled();

    jest.advanceTimersByTime(499);
    expect(sendRequest).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(sendRequest).toHaveBeenCalledTimes(1);
    expect(jest.getTimerCount()).toBe(0);
  });
});
