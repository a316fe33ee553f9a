import { afterEach, describe, expect, it } from '@jest/globals';
import { eventually } from '@heddle/testing';
import { pino } from 'pino';
import { Registry } from 'prom-client';

import { GroupProgress, readConsumerLag } from './group-progress.js';
import type { Offsets, OffsetSource } from './offset-reader.js';

const POLL_MS = 20;

/** One partition and one group. */
class FakeBroker implements OffsetSource {
  low = 0;
  end = 0;
  position = -1;
  polls = 0;
  isAway = false;
  /** Messages that come between two polls; the group is always one poll behind. */
  traffic = 0;

  connect(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  committed(): Promise<Offsets> {
    if (this.isAway) return Promise.reject(new Error('gone'));
    this.polls += 1;
    if (this.traffic > 0) {
      this.position = this.end;
      this.end += this.traffic;
    }
    return this.answer(this.position);
  }

  lows(): Promise<Offsets> {
    return this.answer(this.low);
  }

  ends(): Promise<Offsets> {
    return this.answer(this.end);
  }

  private answer(offset: number): Promise<Offsets> {
    return Promise.resolve(new Map([['p.t', new Map([[0, BigInt(offset)]])]]));
  }
}

describe('GroupProgress', () => {
  const broker = new FakeBroker();
  let progress: GroupProgress | undefined;
  afterEach(async () => {
    await progress?.stop();
    Object.assign(broker, { low: 0, end: 0, position: -1, polls: 0, isAway: false, traffic: 0 });
  });

  function follow(): { readonly progress: GroupProgress; readonly metrics: Registry } {
    const metrics = new Registry();
    progress = new GroupProgress({
      source: () => broker,
      topicPrefix: 'p.',
      logger: pino({ level: 'silent' }),
      metrics,
      pollMs: POLL_MS,
    });
    progress.start(['t']);
    return { progress, metrics };
  }

  async function afterPolls(count: number): Promise<void> {
    const from = broker.polls;
    await eventually(
      () => {
        expect(broker.polls).toBeGreaterThanOrEqual(from + count);
      },
      { withinMs: 5_000, everyMs: 5 },
    );
  }

  it('calls a group caught up that steady traffic keeps just behind the end, and says since when', async () => {
    broker.traffic = 50;
    const { progress: followed } = follow();
    await afterPolls(4);
    const since = followed.caughtUpSince('t');
    expect(since).toBeDefined();
    await afterPolls(3);
    expect(followed.caughtUpSince('t')).toBe(since);
  });

  it('does not call a group caught up that stands still while messages come', async () => {
    broker.end = 10;
    const { progress: followed, metrics } = follow();
    await afterPolls(4);
    expect(followed.caughtUpSince('t')).toBeUndefined();
    expect(await metrics.getSingleMetricAsString('heddle_consumer_lag_messages')).toContain('{topic="t"} 10');
    expect(await readConsumerLag(metrics)).toEqual({ t: 10 });
  });

  it('says nothing of a lag that nobody has asked for', async () => {
    expect(await readConsumerLag(new Registry())).toEqual({});
  });

  it('says nothing of a lag while Kafka is away', async () => {
    broker.end = 10;
    const { metrics } = follow();
    await afterPolls(2);
    expect(await readConsumerLag(metrics)).toEqual({ t: 10 });

    broker.isAway = true;
    await eventually(
      async () => {
        expect(await readConsumerLag(metrics)).toEqual({});
      },
      { withinMs: 5_000 },
    );

    broker.isAway = false;
    await afterPolls(2);
    expect(await readConsumerLag(metrics)).toEqual({ t: 10 });
  });

  it('calls a group caught up on an empty topic that it never committed on', async () => {
    broker.low = 7;
    broker.end = 7;
    const { progress: followed } = follow();
    await afterPolls(3);
    expect(followed.caughtUpSince('t')).toBeDefined();
  });

  it('starts anew after a time in which it did not know', async () => {
    const { progress: followed } = follow();
    await afterPolls(3);
    const before = followed.caughtUpSince('t') ?? Infinity;
    broker.isAway = true;
    await eventually(
      () => {
        expect(followed.caughtUpSince('t')).toBeUndefined();
      },
      { withinMs: 5_000 },
    );
    broker.isAway = false;
    await afterPolls(3);
    expect(followed.caughtUpSince('t')).toBeGreaterThan(before);
  });

  it('counts a partition once whose retention deleted what the group had not read', async () => {
    broker.position = 5;
    broker.low = 9;
    broker.end = 9;
    const { metrics } = follow();
    await afterPolls(4);
    expect(await metrics.getSingleMetricAsString('heddle_consumer_retention_overtaken_total')).toContain(
      '{topic="t"} 1',
    );
  });
});
