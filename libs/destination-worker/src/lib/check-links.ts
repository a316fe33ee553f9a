import type { OfferedFile } from '@heddle/contracts';

import type { FetchedFiles } from './fetched-files.js';

/** Rejects where a link to the file would lead to nothing. */
export type CheckFile = (file: OfferedFile, signal: AbortSignal) => Promise<void>;

/** Checks of one attempt that run side by side. */
const CHECKS = 8;

/** Looks behind the links that an attempt is to send; what is wrong there is a fault of the file. */
export async function checkLinks(
  files: readonly OfferedFile[],
  fetched: FetchedFiles,
  check: CheckFile,
  signal: AbortSignal,
): Promise<void> {
  const waiting = files.values();
  const checkNext = async (): Promise<void> => {
    for (const file of waiting) {
      signal.throwIfAborted();
      await check(file, signal).catch((error: unknown) => {
        fetched.fail(file, error);
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(CHECKS, files.length) }, checkNext));
}
