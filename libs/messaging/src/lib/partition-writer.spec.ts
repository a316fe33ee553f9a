import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { MAX_REQUEST_BYTES, MAX_REQUEST_MESSAGES, PartitionWriter } from './partition-writer.js';
import type { PendingEvent } from './partition-writer.js';
import type { WireMessage } from './produce-request.js';

class Refused extends Error {}

class Pending implements PendingEvent {
  readonly message: WireMessage;
  outcome: 'open' | 'acknowledged' | 'refused' | 'withdrawn' = 'open';
  offset: string | undefined;

  constructor(
    readonly n: number,
    readonly bytes: number,
  ) {
    this.message = { key: 'k', headers: {}, value: String(n) };
  }

  get isWanted(): boolean {
    return this.outcome === 'open';
  }

  acknowledge(_partition: number, offset: string): void {
    if (this.outcome !== 'open') return;
    this.outcome = 'acknowledged';
    this.offset = offset;
  }

  refuse(): void {
    this.outcome = 'refused';
  }
}

/** What a request meets: the log grows, the answer gets lost after the log grew, or nothing happens. */
type Weather = 'ok' | 'lost answer' | 'failed';

class Partition {
  readonly log: number[] = [];
  readonly requests: { readonly messages: number; readonly bytes: number }[] = [];
  inFlight = 0;
  mostInFlight = 0;

  constructor(
    private readonly weather: Iterator<Weather>,
    private readonly poison: ReadonlySet<number> = new Set(),
  ) {}

  readonly send = async (messages: readonly WireMessage[], bytes: number): Promise<string> => {
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    this.requests.push({ messages: messages.length, bytes });
    await Promise.resolve();
    this.inFlight -= 1;
    const numbers = messages.map(({ value }) => Number(value));
    const next = this.weather.next();
    const weather = next.done === true ? 'ok' : next.value;
    if (weather === 'failed') throw new Error('gone');
    if (numbers.some((n) => this.poison.has(n))) throw new Refused();
    const first = this.log.length;
    this.log.push(...numbers);
    if (weather === 'lost answer') throw new Error('gone');
    return String(first);
  };
}

function aWriter(partition: Partition, onBackOff: () => void = () => undefined): PartitionWriter {
  return new PartitionWriter({
    partition: 0,
    send: partition.send,
    isPermanent: (error) => error instanceof Refused,
    backOff: () => {
      onBackOff();
      return Promise.resolve();
    },
  });
}

async function settled(writer: PartitionWriter): Promise<void> {
  while (!writer.isIdle) await Promise.resolve();
}

function firstOccurrences(log: readonly number[]): number[] {
  return [...new Set(log)];
}

const weathers = fc.array(fc.constantFrom<Weather>('ok', 'lost answer', 'failed'), { maxLength: 30 });

describe('PartitionWriter', () => {
  it('acknowledges only what stands in the log at the offset it names, in order, whatever fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 1_000_000 }), { maxLength: 60 }),
        weathers,
        fc.array(fc.nat(59), { maxLength: 5 }),
        async (sizes, weather, bad) => {
          const poison = new Set(bad);
          const partition = new Partition(weather.values(), poison);
          const writer = aWriter(partition);
          const events = sizes.map((bytes, n) => new Pending(n, bytes));
          // Some come while requests are under way.
          for (const [n, event] of events.entries()) {
            writer.add(event);
            writer.start();
            if (n % 7 === 0) await Promise.resolve();
          }
          await settled(writer);

          for (const event of events) {
            expect(event.outcome).toBe(poison.has(event.n) ? 'refused' : 'acknowledged');
            if (event.outcome === 'acknowledged') expect(partition.log[Number(event.offset)]).toBe(event.n);
          }
          expect(firstOccurrences(partition.log)).toEqual(
            events.map(({ n }) => n).filter((n) => !poison.has(n)),
          );
          expect(partition.mostInFlight).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('never lets a later event overtake an earlier one that is still wanted, when others are withdrawn', async () => {
    await fc.assert(
      fc.asyncProperty(weathers, fc.array(fc.nat(39), { maxLength: 20 }), async (weather, withdrawals) => {
        const events = Array.from({ length: 40 }, (_, n) => new Pending(n, 200_000));
        const pending = withdrawals.values();
        const partition = new Partition(weather.values());
        const writer = aWriter(partition, () => {
          const event = events[pending.next().value ?? -1];
          if (event?.isWanted !== true) return;
          event.outcome = 'withdrawn';
          writer.withdraw();
        });
        for (const event of events) writer.add(event);
        writer.start();
        await settled(writer);

        const acknowledged = events.filter(({ outcome }) => outcome === 'acknowledged').map(({ n }) => n);
        const order = firstOccurrences(partition.log);
        expect(order.filter((n) => acknowledged.includes(n))).toEqual(acknowledged);
        expect(order).toEqual(order.toSorted((a, b) => a - b));
        expect(events.every(({ outcome }) => outcome !== 'open')).toBe(true);
      }),
    );
  });

  it('takes everything that queued meanwhile, up to 500 messages and 900 kB; a larger one goes alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1_200_000 }), { maxLength: 80 }), async (sizes) => {
        const partition = new Partition([][Symbol.iterator]());
        const writer = aWriter(partition);
        for (const [n, bytes] of sizes.entries()) writer.add(new Pending(n, bytes));
        writer.start();
        await settled(writer);
        for (const { messages, bytes } of partition.requests) {
          expect(messages === 1 || bytes <= MAX_REQUEST_BYTES).toBe(true);
        }
        expect(partition.requests.reduce((sum, { messages }) => sum + messages, 0)).toBe(sizes.length);
      }),
    );
    const partition = new Partition([][Symbol.iterator]());
    const writer = aWriter(partition);
    for (let n = 0; n < 1_201; n += 1) writer.add(new Pending(n, 10));
    writer.start();
    await settled(writer);
    expect(partition.requests.map(({ messages }) => messages)).toEqual([
      MAX_REQUEST_MESSAGES,
      MAX_REQUEST_MESSAGES,
      201,
    ]);
  });

  it('forgets what was withdrawn in a long outage', () => {
    const partition = new Partition([][Symbol.iterator]());
    const writer = aWriter(partition);
    const events = Array.from({ length: 10_000 }, (_, n) => new Pending(n, 10));
    for (const event of events) writer.add(event);
    for (const event of events) {
      event.outcome = 'withdrawn';
      writer.withdraw();
    }
    expect(writer.queued).toBeLessThan(2_001);
  });
});
