import { createHash } from 'node:crypto';

import { AzureFault } from './azure-blob.client.js';

/** Of a file that fits into `MAX_BLOCKS` of them. */
export const BLOCK_BYTES = 1024 * 1024;
/** Source: https://learn.microsoft.com/rest/api/storageservices/put-block-list */
export const MAX_BLOCKS = 50_000;

/** Blocks of one file that are read or on their way at one time. */
const BLOCKS_AT_ONCE = 4;

/** Blocks that all attempts of this process together read ahead of the first one of each file: memory stays flat. */
const MAX_READ_AHEAD = 48;

/** Counts the blocks that are read ahead. Nobody waits for it: who gets none goes on one block at a time. */
export class ReadAhead {
  private taken = 0;

  constructor(private readonly max = MAX_READ_AHEAD) {}

  tryTake(): boolean {
    if (this.taken >= this.max) return false;
    this.taken += 1;
    return true;
  }

  give(): void {
    this.taken -= 1;
  }
}

export interface Block {
  readonly index: number;
  /** Used again for another block once this one is staged. */
  readonly bytes: Uint8Array;
  readonly md5: Uint8Array;
}

/** All blocks but the last have this size, so that the same file has the same blocks each time. */
export function blockBytesOf(sizeBytes: number): number {
  return Math.max(BLOCK_BYTES, Math.ceil(sizeBytes / MAX_BLOCKS));
}

/**
 * Cuts a file into blocks and hands them over, several at a time. A failure stops the others and is thrown when they
 * have ended: afterwards nothing is on its way any more.
 *
 * @returns the MD5 of the whole.
 */
export async function stageBlocks(
  file: { readonly sizeBytes: number; open(): AsyncIterable<Uint8Array> },
  stage: (block: Block, signal: AbortSignal) => Promise<void>,
  { readAhead, signal }: { readonly readAhead: ReadAhead; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const blockBytes = Math.min(blockBytesOf(file.sizeBytes), file.sizeBytes);
  const whole = createHash('md5');
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const staging = new Set<Promise<void>>();
  const spare: Buffer[] = [];
  let ahead = 0;
  let index = 0;
  let missing = file.sizeBytes;

  const hasRoom = (): boolean => {
    if (staging.size === 0) return true;
    if (staging.size >= BLOCKS_AT_ONCE - 1 || !readAhead.tryTake()) return false;
    ahead += 1;
    return true;
  };
  const send = (buffer: Buffer, length: number): void => {
    const bytes = buffer.subarray(0, length);
    whole.update(bytes);
    const md5 = createHash('md5').update(bytes).digest();
    const task = stage({ index, bytes, md5 }, either).then(() => {
      staging.delete(task);
      spare.push(buffer);
      if (ahead === 0) return;
      ahead -= 1;
      readAhead.give();
    });
    index += 1;
    staging.add(task);
    // Whoever waits for it next hears of it.
    task.catch(() => undefined);
  };

  try {
    let buffer: Buffer | undefined;
    let filled = 0;
    for await (const chunk of file.open()) {
      signal.throwIfAborted();
      if (chunk.length > missing) throw new AzureFault('AZURE_SIZE');
      missing -= chunk.length;
      for (let from = 0; from < chunk.length;) {
        if (!buffer) {
          while (!hasRoom()) await Promise.race(staging);
          buffer = spare.pop() ?? Buffer.allocUnsafe(blockBytes);
        }
        const length = Math.min(chunk.length - from, blockBytes - filled);
        buffer.set(chunk.subarray(from, from + length), filled);
        from += length;
        filled += length;
        if (filled < blockBytes) continue;
        send(buffer, filled);
        buffer = undefined;
        filled = 0;
      }
    }
    if (missing > 0) throw new AzureFault('AZURE_SIZE');
    if (buffer) send(buffer, filled);
    await Promise.all(staging);
    return whole.digest();
  } finally {
    failed.abort();
    await Promise.allSettled(staging);
    for (; ahead > 0; ahead -= 1) readAhead.give();
  }
}
