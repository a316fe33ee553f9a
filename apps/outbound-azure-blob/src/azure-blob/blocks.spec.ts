import { createHash, randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { AzureFault } from './azure-blob.client.js';
import { BLOCK_BYTES, MAX_BLOCKS, ReadAhead, blockBytesOf, stageBlocks } from './blocks.js';
import type { Block } from './blocks.js';

const md5Of = (bytes: Uint8Array): Buffer => createHash('md5').update(bytes).digest();
const { signal } = new AbortController();

/** A file that comes in pieces that fit no block. */
function aFile(bytes: Uint8Array, sizeBytes = bytes.length) {
  return {
    sizeBytes,
    open: async function* () {
      for (let start = 0; start < bytes.length; start += 300_001)
        yield bytes.subarray(start, start + 300_001);
    },
  };
}

/** Keeps copies, as a service does. */
class Staged {
  readonly blocks: Buffer[] = [];
  readonly buffers = new Set<ArrayBufferLike>();
  running = 0;
  most = 0;
  failOn: number | undefined;
  hold: Promise<unknown> = Promise.resolve();

  readonly stage = async ({ index, bytes, md5 }: Block, either: AbortSignal): Promise<void> => {
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    this.buffers.add(bytes.buffer);
    try {
      await this.hold;
      if (this.failOn === index) throw new AzureFault('ServerBusy');
      await new Promise((resolve) => setImmediate(resolve));
      either.throwIfAborted();
      expect(Buffer.from(md5)).toEqual(md5Of(bytes));
      this.blocks[index] = Buffer.from(bytes);
    } finally {
      this.running -= 1;
    }
  };
}

describe('blocks of a file', () => {
  it.each([1, 1_000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 7])(
    'together are its %i bytes, each with its MD5',
    async (size) => {
      const bytes = randomBytes(size);
      const staged = new Staged();

      const md5 = await stageBlocks(aFile(bytes), staged.stage, { readAhead: new ReadAhead(), signal });

      expect(Buffer.concat(staged.blocks).equals(bytes)).toBe(true);
      expect(staged.blocks).toHaveLength(Math.ceil(size / BLOCK_BYTES));
      expect(Buffer.from(md5)).toEqual(md5Of(bytes));
    },
  );

  it('are none where it is empty', async () => {
    const staged = new Staged();

    await stageBlocks(aFile(Buffer.alloc(0)), staged.stage, { readAhead: new ReadAhead(), signal });

    expect(staged.blocks).toEqual([]);
  });

  it('are never more than the service takes', () => {
    for (const size of [1, BLOCK_BYTES * MAX_BLOCKS, BLOCK_BYTES * MAX_BLOCKS + 1, 1e12])
      expect(Math.ceil(size / blockBytesOf(size))).toBeLessThanOrEqual(MAX_BLOCKS);
  });

  it('go side by side in few buffers, whatever the size', async () => {
    const staged = new Staged();

    await stageBlocks(aFile(randomBytes(20 * BLOCK_BYTES)), staged.stage, {
      readAhead: new ReadAhead(),
      signal,
    });

    expect(staged.most).toBe(3);
    expect(staged.buffers.size).toBeLessThanOrEqual(4);
  });

  it('go one by one where all files together have read far enough ahead', async () => {
    const staged = new Staged();
    const readAhead = new ReadAhead(0);

    await stageBlocks(aFile(randomBytes(4 * BLOCK_BYTES)), staged.stage, { readAhead, signal });

    expect(staged.most).toBe(1);
    expect(staged.buffers.size).toBe(1);
  });

  it('stop where one is refused, and nothing is on its way when that is known', async () => {
    const staged = new Staged();
    staged.failOn = 2;
    const readAhead = new ReadAhead(2);

    const work = stageBlocks(aFile(randomBytes(9 * BLOCK_BYTES)), staged.stage, { readAhead, signal });

    await expect(work).rejects.toMatchObject({ code: 'ServerBusy' });
    expect(staged.running).toBe(0);
    expect(staged.blocks.length).toBeLessThan(5);
    expect([readAhead.tryTake(), readAhead.tryTake(), readAhead.tryTake()]).toEqual([true, true, false]);
  });

  it('stop at an abort', async () => {
    const controller = new AbortController();
    const staged = new Staged();
    staged.hold = new Promise((resolve) =>
      controller.signal.addEventListener('abort', () => resolve(undefined)),
    );

    const work = stageBlocks(aFile(randomBytes(9 * BLOCK_BYTES)), staged.stage, {
      readAhead: new ReadAhead(),
      signal: controller.signal,
    });
    setImmediate(() => controller.abort(new Error('stopped')));

    await expect(work).rejects.toThrow('stopped');
    expect(staged.blocks).toEqual([]);
  });

  it.each([99, 101])('are refused where 100 bytes were said to be %i', async (said) => {
    const work = stageBlocks(aFile(randomBytes(100), said), new Staged().stage, {
      readAhead: new ReadAhead(),
      signal,
    });

    await expect(work).rejects.toMatchObject({ code: 'AZURE_SIZE' });
  });
});
