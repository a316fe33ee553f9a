import { describe, expect, it } from '@jest/globals';

import type { Append } from './broker-writer.js';
import type { PublisherTransport } from './kafka-transport.js';
import { SpreadTransport } from './spread-transport.js';

class Connection implements PublisherTransport {
  readonly sent: number[] = [];
  private readonly open: PromiseWithResolvers<string>[] = [];

  partitionsOf = (): Promise<number> => Promise.resolve(4);
  refresh = (): Promise<void> => Promise.resolve();
  close = (): Promise<void> => Promise.resolve();

  send({ partition }: Append): Promise<string> {
    this.sent.push(partition);
    const answer = Promise.withResolvers<string>();
    this.open.push(answer);
    return answer.promise;
  }

  answer(): void {
    for (const { resolve } of this.open.splice(0)) resolve('0');
  }

  fail(): void {
    for (const { reject } of this.open.splice(0)) reject(new Error('closed'));
  }
}

const part = (partition: number): Append => ({ topic: 't', partition, messages: [], bytes: 1 });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('SpreadTransport', () => {
  it('keeps together what one turn sends, and takes the connection that has less under way', async () => {
    const [first, second] = [new Connection(), new Connection()];
    const transport = new SpreadTransport([first, second]);
    const sent = [1, 2, 3].map((partition) => transport.send(part(partition)));
    await turn();
    sent.push(transport.send(part(4)));
    await turn();
    sent.push(transport.send(part(5)));
    expect([first.sent, second.sent]).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    first.answer();
    second.answer();
    await Promise.all(sent);
  });

  it('takes the first connection while nothing is under way, whatever became of what was', async () => {
    const [first, second] = [new Connection(), new Connection()];
    const transport = new SpreadTransport([first, second]);
    const failed = transport.send(part(1));
    await turn();
    first.fail();
    await expect(failed).rejects.toThrow('closed');
    const answered = transport.send(part(2));
    await turn();
    first.answer();
    await answered;
    expect([first.sent, second.sent]).toEqual([[1, 2], []]);
  });
});
