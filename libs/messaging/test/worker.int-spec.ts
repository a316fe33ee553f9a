import { afterEach, describe, expect, it } from '@jest/globals';
import { eventually } from '@heddle/testing';
import { Kafka, logLevel } from 'kafkajs';

import { Bench, TOPIC } from './harness.js';

describe('a worker', () => {
  let bench: Bench;
  afterEach(() => bench.close());

  async function committedOffset(): Promise<string | undefined> {
    const { brokers, topicPrefix } = bench.kafka;
    const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    const [group] = await admin.fetchOffsets({
      groupId: `${topicPrefix}readers`,
      topics: [topicPrefix + TOPIC],
    });
    await admin.disconnect();
    return group?.partitions[0]?.offset;
  }

  it('commits what it takes before it hears so, and gets the rest after resume', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 1, 2, 3, 4, 5);
    const offered: number[][] = [];
    const committed: boolean[] = [];
    const { server } = await bench.consume(({ events }) => {
      offered.push(events.map(({ data }) => data.n));
      return Promise.resolve({ taken: Math.min(2, events.length), afterCommit: (is) => committed.push(is) });
    });
    await eventually(
      () => {
        expect(committed).toEqual([true]);
      },
      { withinMs: 15_000 },
    );
    expect(await committedOffset()).toBe('2');
    expect(offered).toEqual([[1, 2, 3, 4, 5]]);

    server.resume(TOPIC);
    await eventually(
      () => {
        expect(committed).toEqual([true, true]);
      },
      { withinMs: 5_000 },
    );
    server.resume(TOPIC);
    await eventually(
      async () => {
        expect(offered).toEqual([[1, 2, 3, 4, 5], [3, 4, 5], [5]]);
        expect(await committedOffset()).toBe('5');
      },
      { withinMs: 5_000 },
    );
  }, 45_000);

  it('without any room takes nothing, and nothing is committed', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 1, 2);
    let hasRoom = false;
    const taken: number[] = [];
    let offers = 0;
    const { server } = await bench.consume(({ events }) => {
      offers += 1;
      if (!hasRoom) return Promise.resolve({ taken: 0, afterCommit: () => undefined });
      taken.push(...events.map(({ data }) => data.n));
      return Promise.resolve({ taken: events.length, afterCommit: () => undefined });
    });
    await eventually(
      () => {
        expect(offers).toBe(1);
      },
      { withinMs: 15_000 },
    );
    expect(await committedOffset()).toBe('-1');
    hasRoom = true;
    server.resume(TOPIC);
    await eventually(
      () => {
        expect(taken).toEqual([1, 2]);
      },
      { withinMs: 5_000 },
    );
  }, 45_000);

  it('gets the rest at once when room came while it was still answering', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    await bench.publish('k', 1, 2, 3);
    const offered: number[][] = [];
    const { server } = await bench.consume(({ events }) => {
      offered.push(events.map(({ data }) => data.n));
      if (offered.length === 1) server.resume(TOPIC);
      return Promise.resolve({ taken: 1, afterCommit: () => undefined });
    });
    await eventually(
      () => {
        expect(offered).toEqual([
          [1, 2, 3],
          [2, 3],
        ]);
      },
      { withinMs: 15_000 },
    );
  }, 45_000);
});
