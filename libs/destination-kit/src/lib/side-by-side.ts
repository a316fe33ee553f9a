import type { Receipt } from '@heddle/contracts';

import { DestinationError } from './destination-error.js';
import type { DestinationErrorCode } from './destination-error.js';
import type { DeliveryFile } from './destination.js';

/** What is wrong with one file and says nothing about the next one. */
const ABOUT_ONE_FILE: ReadonlySet<DestinationErrorCode> = new Set([
  'ALREADY_EXISTS',
  'REJECTED',
  'TOO_LARGE',
]);

/**
 * Sends the files of one attempt, several at a time, and yields each receipt as soon as there is one.
 *
 * @param put sends one file. Where it fails for a reason that lies in the file, the others go out. After any other
 *   failure no further file is begun; those that are already on their way still arrive and are proven.
 * @throws the first failure, after the last receipt; one that stopped the others before one that did not, as it may
 *   be worth another try.
 */
export async function* sideBySide(
  files: AsyncIterable<DeliveryFile>,
  atOnce: number,
  put: (file: DeliveryFile) => Promise<Receipt>,
): AsyncGenerator<Receipt, void> {
  const placed: Receipt[] = [];
  let wake = Promise.withResolvers<undefined>();
  let failure: { readonly error: unknown } | undefined;
  let refusal: DestinationError | undefined;
  let readers = atOnce;
  const waiting = files[Symbol.asyncIterator]();
  const read = async (): Promise<void> => {
    try {
      while (!failure) {
        const next = await waiting.next();
        if (next.done === true) return;
        try {
          placed.push(await put(next.value));
          wake.resolve(undefined);
        } catch (error) {
          if (!(error instanceof DestinationError) || !ABOUT_ONE_FILE.has(error.code)) throw error;
          refusal ??= error;
        }
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
  if (refusal) throw refusal;
}
