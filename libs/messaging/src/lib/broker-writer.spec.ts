import { describe, expect, it } from '@jest/globals';

import { BrokerWriter } from './broker-writer.js';
import type { Append, AppendResult } from './broker-writer.js';

const MIB = 1024 * 1024;

const part = (partition: number, bytes = 100): Append => ({ topic: 't', partition, messages: [], bytes });
const offsetOf = ({ partition }: Append): AppendResult => ({ firstOffset: String(partition * 10) });

/** A broker that answers when it is told to. */
class Broker {
  readonly requests: number[][] = [];
  private readonly open: PromiseWithResolvers<readonly AppendResult[]>[] = [];
  private readonly parts: (readonly Append[])[] = [];
  readonly writer = new BrokerWriter({
    send: (parts) => {
      this.requests.push(parts.map(({ partition }) => partition));
      this.parts.push(parts);
      const answer = Promise.withResolvers<readonly AppendResult[]>();
      this.open.push(answer);
      return answer.promise;
    },
  });

  get underWay(): number {
    return this.open.length;
  }

  answer(resultOf: (append: Append) => AppendResult = offsetOf): void {
    this.open.shift()?.resolve((this.parts.shift() ?? []).map(resultOf));
  }

  fail(error: Error): void {
    this.parts.shift();
    this.open.shift()?.reject(error);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('BrokerWriter', () => {
  it('sends what partitions ask for in one turn in one request, and gives each its own offset', async () => {
    const broker = new Broker();
    const appended = Promise.all([1, 2, 3].map((partition) => broker.writer.append(part(partition))));
    await turn();
    expect(broker.requests).toEqual([[1, 2, 3]]);
    broker.answer();
    expect(await appended).toEqual(['10', '20', '30']);
  });

  it('has one request under way, and takes into the next what came meanwhile', async () => {
    const broker = new Broker();
    const first = broker.writer.append(part(1));
    await turn();
    const second = broker.writer.append(part(2));
    await turn();
    const third = broker.writer.append(part(3));
    await turn();
    expect(broker.requests).toEqual([[1]]);
    expect(broker.underWay).toBe(1);
    broker.answer();
    await first;
    await turn();
    expect(broker.requests).toEqual([[1], [2, 3]]);
    broker.answer();
    expect(await Promise.all([second, third])).toEqual(['20', '30']);
  });

  it('keeps requests far below the limit of the brokers, and sends alone what is larger', async () => {
    const broker = new Broker();
    const appended = Promise.all(
      [5, 2, 2, 20, 1].map((mib, index) => broker.writer.append(part(index, mib * MIB))),
    );
    for (let requests = 1; requests <= 4; requests += 1) {
      await turn();
      broker.answer();
    }
    await appended;
    expect(broker.requests).toEqual([[0, 1], [2], [3], [4]]);
  });

  it('tells each partition its own error', async () => {
    const broker = new Broker();
    const moved = new Error('moved');
    const results = Promise.allSettled([1, 2].map((partition) => broker.writer.append(part(partition))));
    await turn();
    broker.answer((append) => (append.partition === 1 ? { error: moved } : offsetOf(append)));
    expect(await results).toEqual([
      { status: 'rejected', reason: moved },
      { status: 'fulfilled', value: '20' },
    ]);
  });

  it('lets nothing wait for a way that has just failed, and tries it again for who comes after', async () => {
    const broker = new Broker();
    const closed = new Error('closed');
    const first = broker.writer.append(part(1));
    const settled = Promise.allSettled([first, turn().then(() => broker.writer.append(part(2)))]);
    await turn();
    await turn();
    broker.fail(closed);
    expect(await settled).toEqual([1, 2].map(() => ({ status: 'rejected', reason: closed })));
    expect(broker.requests).toEqual([[1]]);

    const again = broker.writer.append(part(1));
    await turn();
    broker.answer();
    expect(await again).toBe('10');
  });
});
