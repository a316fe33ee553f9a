import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { BatchConsumer } from './batch-consumer.js';
import type { DeadLetters, IncomingMessage, PartitionBatch } from './batch-consumer.js';

class LostConnection extends Error {}

class RecordedDeadLetters implements DeadLetters {
  readonly offsets: number[] = [];

  publish({ offset }: IncomingMessage): Promise<void> {
    this.offsets.push(Number(offset));
    return Promise.resolve();
  }
}

class FakeBatch implements PartitionBatch {
  readonly messages: readonly IncomingMessage[];
  readonly resolved: number[] = [];
  live = true;

  constructor(size: number) {
    this.messages = Array.from({ length: size }, (_, offset) => ({
      topic: 'recipe.received',
      partition: 0,
      offset: String(offset),
      key: 'k',
      headers: {},
      value: new Uint8Array(),
    }));
  }

  isLive(): boolean {
    return this.live;
  }

  resolveOffset(offset: string): void {
    this.resolved.push(Number(offset));
  }

  heartbeat(): Promise<void> {
    return Promise.resolve();
  }
}

/** A handler like a real one: all of a chunk commits or none of it does. */
class Store {
  readonly committed: number[] = [];
  outages = 0;

  constructor(private readonly poison: ReadonlySet<number>) {}

  readonly handle = (chunk: readonly IncomingMessage[]): Promise<void> => {
    const offsets = chunk.map((message) => Number(message.offset));
    if (this.outages > 0) {
      this.outages -= 1;
      return Promise.reject(new LostConnection());
    }
    if (offsets.some((offset) => this.poison.has(offset)))
      return Promise.reject(new TypeError('bad message'));
    this.committed.push(...offsets);
    return Promise.resolve();
  };
}

function aConsumer(store: Store): { consumer: BatchConsumer; deadLetters: RecordedDeadLetters } {
  const deadLetters = new RecordedDeadLetters();
  const consumer = new BatchConsumer({
    handle: store.handle,
    deadLetters,
    faultOf: (error) => (error instanceof LostConnection ? 'transient' : 'poison'),
    backOff: () => Promise.resolve(),
  });
  return { consumer, deadLetters };
}

describe('BatchConsumer', () => {
  it('commits every good message in order and dead-letters exactly the bad ones', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 1_200 }),
        fc.uniqueArray(fc.nat(1_200)),
        async (size, bad) => {
          const poison = new Set(bad.filter((offset) => offset < size));
          const store = new Store(poison);
          const { consumer, deadLetters } = aConsumer(store);
          const batch = new FakeBatch(size);

          await consumer.consume(batch);

          const all = Array.from({ length: size }, (_, offset) => offset);
          expect(store.committed).toEqual(all.filter((offset) => !poison.has(offset)));
          expect(deadLetters.offsets).toEqual(all.filter((offset) => poison.has(offset)));
          expect(batch.resolved).toEqual(batch.resolved.toSorted((a, b) => a - b));
          expect(batch.resolved.at(-1)).toBe(all.at(-1));
        },
      ),
    );
  });

  it('waits out an outage without dead-lettering anything', async () => {
    const store = new Store(new Set());
    store.outages = 7;
    const { consumer, deadLetters } = aConsumer(store);
    const batch = new FakeBatch(3);

    await consumer.consume(batch);

    expect(store.committed).toEqual([0, 1, 2]);
    expect(deadLetters.offsets).toEqual([]);
  });

  it('resolves nothing once the partition is lost', async () => {
    const { consumer } = aConsumer(new Store(new Set()));
    const batch = new FakeBatch(3);
    batch.live = false;

    await consumer.consume(batch);

    expect(batch.resolved).toEqual([]);
  });
});
