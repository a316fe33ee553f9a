import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Streamed between two collections. */
const COLLECT_BYTES = 4 * 1024 * 1024;

type Collect = (options: { readonly type: 'minor' }) => void;
let collect: Collect | undefined;
let streamedBytes = 0;

/**
 * Counts bytes that passed through and drops their buffers from time to time.
 *
 * A buffer is a small object with a large body. V8 counts the small part when it decides to collect
 * young garbage, so without this a large file leaves up to a hundred megabytes of dead bodies behind.
 * A young collection takes less than a millisecond.
 */
export function streamed(bytes: number): void {
  streamedBytes += bytes;
  if (streamedBytes < COLLECT_BYTES) return;
  streamedBytes = 0;
  collect ??= exposeCollector();
  collect({ type: 'minor' });
}

function exposeCollector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
