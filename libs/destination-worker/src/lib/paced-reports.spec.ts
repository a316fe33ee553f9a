import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { OutgoingEvent, PublishResult } from '@heddle/messaging';

import { PacedReports } from './paced-reports.js';

const requests: string[][] = [];
const reports = (): PacedReports =>
  new PacedReports(
    {
      publish: (events): Promise<readonly PublishResult[]> => {
        requests.push(events.map(({ id }) => id));
        return Promise.resolve(
          events.map(({ id }) => ({ ok: true, partition: 0, offset: `offset of ${id}` })),
        );
      },
    },
    1_000,
  );
const report = (id: string): OutgoingEvent => ({ id }) as OutgoingEvent;

beforeEach(() => {
  jest.useFakeTimers();
  requests.length = 0;
});
afterEach(() => {
  jest.useRealTimers();
});

describe('PacedReports', () => {
  it('sends what ends within a moment in one request, and gives each its own result', async () => {
    const paced = reports();
    const first = paced.publish(report('a'));
    await jest.advanceTimersByTimeAsync(0);
    const rest = [paced.publish(report('b'))];
    await jest.advanceTimersByTimeAsync(5);
    rest.push(paced.publish(report('c')));
    await jest.advanceTimersByTimeAsync(15);

    expect(requests).toEqual([['a'], ['b', 'c']]);
    expect(await first).toMatchObject({ offset: 'offset of a' });
    expect(await Promise.all(rest)).toMatchObject([{ offset: 'offset of b' }, { offset: 'offset of c' }]);
  });

  it('lets nothing wait that comes a while after the one before', async () => {
    const paced = reports();
    for (const id of ['a', 'b']) {
      const sent = paced.publish(report(id));
      await jest.advanceTimersByTimeAsync(0);
      expect(requests.at(-1)).toEqual([id]);
      await sent;
      await jest.advanceTimersByTimeAsync(20);
    }
  });
});
