import type { Receipt } from '@heddle/contracts';
import { describe, expect, it } from '@jest/globals';

import type { DeliveryFile } from './destination.js';
import { DestinationError } from './destination-error.js';
import { sideBySide } from './side-by-side.js';

/** As the worker hands them out: several readers, each file to one of them. */
function files(...names: string[]): AsyncIterable<DeliveryFile> {
  const left = names.map((name) => ({ name }) as DeliveryFile);
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = left.shift();
        return value ? { done: false, value } : { done: true, value: undefined };
      },
    }),
  };
}

const receiptOf = ({ name }: DeliveryFile): Receipt => ({
  name,
  location: `test://${name}`,
  sizeBytes: 0,
  sha256: '0'.repeat(64),
  details: {},
});

async function collect(
  sent: AsyncIterable<Receipt>,
): Promise<{ readonly names: readonly string[]; readonly error?: unknown }> {
  const names: string[] = [];
  try {
    for await (const { name } of sent) names.push(name);
    return { names };
  } catch (error) {
    return { names, error };
  }
}

describe('files sent side by side', () => {
  it('are as many as allowed at one time, and each is sent once', async () => {
    let running = 0;
    let most = 0;
    const { names } = await collect(
      sideBySide(files('a', 'b', 'c', 'd', 'e'), 2, async (file) => {
        running += 1;
        most = Math.max(most, running);
        await Promise.resolve();
        running -= 1;
        return receiptOf(file);
      }),
    );

    expect(names.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(most).toBe(2);
  });

  it('are proven one by one, not when all have arrived', async () => {
    const { promise: second, resolve: sendSecond } = Promise.withResolvers<undefined>();
    const sent = sideBySide(files('a', 'b'), 2, async (file) => {
      if (file.name === 'b') await second;
      return receiptOf(file);
    });

    expect(await sent.next()).toMatchObject({ value: { name: 'a' } });
    sendSecond(undefined);
    expect(await sent.next()).toMatchObject({ value: { name: 'b' } });
    expect(await sent.next()).toMatchObject({ done: true });
  });

  it('still arrive where they are on their way when another fails, and none is begun after it', async () => {
    const failure = new Error('refused');
    const { promise: hasFailed, resolve: fail } = Promise.withResolvers<undefined>();
    const begun: string[] = [];
    const result = await collect(
      sideBySide(files('slow', 'bad', 'late'), 2, async (file) => {
        begun.push(file.name);
        if (file.name === 'slow') await hasFailed;
        if (file.name === 'slow') return receiptOf(file);
        fail(undefined);
        throw failure;
      }),
    );

    expect(result).toEqual({ names: ['slow'], error: failure });
    expect(begun).toEqual(['slow', 'bad']);
  });

  it('all go out where one is refused for what it is', async () => {
    const taken = new DestinationError('ALREADY_EXISTS', 'writing taken');
    const tooLarge = new DestinationError('TOO_LARGE', 'writing large');

    const result = await collect(
      sideBySide(files('taken', 'a', 'large', 'b', 'c'), 2, async (file) => {
        if (file.name === 'taken') throw taken;
        if (file.name === 'large') throw tooLarge;
        return receiptOf(file);
      }),
    );

    expect({ ...result, names: result.names.toSorted() }).toEqual({ names: ['a', 'b', 'c'], error: taken });
  });

  it('fail with what another try may mend rather than with what it cannot', async () => {
    const away = new DestinationError('UNAVAILABLE', 'writing b');

    const { error } = await collect(
      sideBySide(files('taken', 'b', 'late'), 1, (file) =>
        Promise.reject(
          file.name === 'taken' ? new DestinationError('ALREADY_EXISTS', 'writing taken') : away,
        ),
      ),
    );

    expect(error).toBe(away);
  });

  it('end at once where there are none', async () => {
    expect(await collect(sideBySide(files(), 3, () => Promise.reject(new Error('never'))))).toEqual({
      names: [],
    });
  });
});
