import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '@heddle/testing';

import { resetGroup } from '../src/index.js';

import { Bench, TOPIC, logger } from './harness.js';
import type { RunningConsumer } from './harness.js';

describe('a group that is set back in time', () => {
  let bench: Bench;
  let seen: number[];
  beforeEach(async () => {
    bench = await Bench.open(undefined, undefined, 2);
    seen = [];
  });
  afterEach(() => bench.close());

  const consume = (): Promise<RunningConsumer> =>
    bench.consume(({ events }) => {
      seen.push(...events.map(({ data }) => data.n));
      return Promise.resolve({ taken: events.length, afterCommit: () => undefined });
    });
  const reset = (at: Date): Promise<void> =>
    resetGroup({ kafka: bench.kafka, logger, groupId: 'readers', topics: [TOPIC], at });

  it('reads again what was written since, and nothing from before', async () => {
    await bench.publish('a', 1, 2);
    const written = Date.now();
    // Kafka tells instants apart by the millisecond.
    await eventually(() => expect(Date.now()).toBeGreaterThan(written), { withinMs: 1_000 });
    const between = new Date();
    await bench.publish('a', 3);
    await bench.publish('b', 4);
    const first = await consume();
    await eventually(() => expect(seen.toSorted()).toEqual([1, 2, 3, 4]), { withinMs: 15_000 });
    await first.close();
    seen = [];

    await reset(between);
    await consume();
    await eventually(() => expect(seen.toSorted()).toEqual([3, 4]), { withinMs: 15_000 });
  }, 60_000);

  it('is left alone while a member runs', async () => {
    await bench.publish('a', 1);
    await consume();
    await eventually(() => expect(seen).toEqual([1]), { withinMs: 15_000 });

    await expect(reset(new Date(0))).rejects.toThrow(/no running instances/);
  }, 60_000);
});
