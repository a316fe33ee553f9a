import type { FileFault, OfferedFile } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';

/** Rejects where a link to the file would lead to nothing. */
export type CheckFile = (file: OfferedFile, signal: AbortSignal) => Promise<void>;

/** Checks of one attempt that run side by side. */
const CHECKS = 8;

/** What is wrong with the files that an attempt is to send links to, in the order of the offer. */
export async function linkFaults(
  files: readonly OfferedFile[],
  check: CheckFile,
  signal: AbortSignal,
): Promise<readonly FileFault[]> {
  const faults: (FileFault | undefined)[] = [];
  const waiting = files.entries();
  const checkNext = async (): Promise<void> => {
    for (const [index, file] of waiting) {
      signal.throwIfAborted();
      faults[index] = await faultOf(file, check, signal);
    }
  };
  await Promise.all(Array.from({ length: CHECKS }, checkNext));
  return faults.filter((fault) => fault !== undefined);
}

async function faultOf(
  file: OfferedFile,
  check: CheckFile,
  signal: AbortSignal,
): Promise<FileFault | undefined> {
  try {
    await check(file, signal);
    return undefined;
  } catch (error) {
    const { name } = file;
    if (!(error instanceof DestinationError)) return { name, code: 'UNKNOWN', message: `fetching ${name}` };
    return { name, code: error.code, message: error.message };
  }
}
