import type { Receipt } from '@heddle/contracts';

import type { DeliveryFile } from './destination.js';

/**
 * Sends the files of one attempt, several at a time, and yields each receipt as soon as there is one.
 *
 * @param put sends one file. After its first failure no further file is begun; those that are already on their way
 *   still arrive and are proven.
 * @throws the first failure, after the last receipt.
 */
export async function* sideBySide(
  files: AsyncIterable<DeliveryFile>,
  atOnce: number,
  put: (file: DeliveryFile) => Promise<Receipt>,
): AsyncGenerator<Receipt, void> {
  const placed: Receipt[] = [];
  let wake = Promise.withResolvers<undefined>();
  let failure: { readonly error: unknown } | undefined;
  let readers = atOnce;
  const waiting = files[Symbol.asyncIterator]();
  const read = async (): Promise<void> => {
    try {
      while (!failure) {
        const next = await waiting.next();
        if (next.done === true) return;
        placed.push(await put(next.value));
        wake.resolve(undefined);
      }
    } catch (error) {
      failure ??= { error };
    } finally {
      readers -= 1;
      wake.resolve(undefined);
    }
  };
  for (let reader = 0; reader < atOnce; reader += 1) void read();

  for (;;) {
    await wake.promise;
    wake = Promise.withResolvers<undefined>();
    for (let receipt = placed.shift(); receipt; receipt = placed.shift()) yield receipt;
    if (readers === 0 && placed.length === 0) break;
  }
  if (failure) throw failure.error;
}
