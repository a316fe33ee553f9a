import { describe, expect, it } from '@jest/globals';

import { Gatherer } from './gatherer.js';

interface Part {
  readonly name: string;
  readonly size: number;
}

function part(name: string, size = 1): Part {
  return { name, size };
}

function aGatherer(
  run: (parts: readonly Part[]) => Promise<void>,
  limits: { readonly maxSize?: number; readonly concurrency?: number } = {},
): Gatherer<Part> {
  return new Gatherer({ run, sizeOf: ({ size }) => size, maxSize: 500, concurrency: 4, ...limits });
}

const namesOf = (parts: readonly Part[]): string => parts.map(({ name }) => name).join('');

describe('parts that come at the same moment', () => {
  it('travel in one call, in the order in which they came', async () => {
    const calls: string[] = [];
    const gatherer = aGatherer(async (parts) => void calls.push(namesOf(parts)));
    await Promise.all(['a', 'b', 'c'].map((name) => gatherer.add(part(name))));
    expect(calls).toEqual(['abc']);
  });

  it('are split where they are too much for one call, and a part that is larger goes alone', async () => {
    const calls: string[] = [];
    const gatherer = aGatherer(async (parts) => void calls.push(namesOf(parts)), { maxSize: 10 });
    await Promise.all(
      [part('a', 6), part('b', 4), part('c', 1), part('d', 99), part('e', 1)].map((each) =>
        gatherer.add(each),
      ),
    );
    expect(calls).toEqual(['ab', 'c', 'd', 'e']);
  });

  it('wait for a call that runs where no more may run side by side, and go together after it', async () => {
    const calls: string[] = [];
    const { promise: first, resolve: endFirst } = Promise.withResolvers<undefined>();
    const gatherer = aGatherer(
      async (parts) => {
        calls.push(namesOf(parts));
        if (calls.length === 1) await first;
      },
      { concurrency: 1 },
    );
    const a = gatherer.add(part('a'));
    await new Promise(setImmediate);
    const rest = [gatherer.add(part('b'))];
    await new Promise(setImmediate);
    rest.push(gatherer.add(part('c')));
    await new Promise(setImmediate);
    expect(calls).toEqual(['a']);
    endFirst(undefined);
    await Promise.all([a, ...rest]);
    expect(calls).toEqual(['a', 'bc']);
  });

  it('are handled one by one where a call fails, and only those at fault hear of it', async () => {
    const committed: string[] = [];
    const gatherer = aGatherer((parts) => {
      if (parts.some(({ name }) => name === 'bad')) return Promise.reject(new RangeError('bad'));
      committed.push(...parts.map(({ name }) => name));
      return Promise.resolve();
    });
    const outcomes = await Promise.allSettled(['a', 'bad', 'c'].map((name) => gatherer.add(part(name))));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(committed).toEqual(['a', 'c']);
  });
});
