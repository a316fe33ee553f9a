import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { OfferedFile } from '@heddle/contracts';
import { AddressGuard, DestinationError, parseAllowedAddresses } from '@heddle/destination-kit';
import { eventually, startFileServer, temporaryFolder } from '@heddle/testing';
import type { FileServer } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { HubAway } from '../src/lib/hub-away.js';
import { SourceFetcher } from '../src/lib/source-fetcher.js';
import { Spool } from '../src/lib/spool.js';
import type { SpooledFile } from '../src/lib/spool.js';

const MIB = 1024 * 1024;

describe('files on their way into the spool', () => {
  let files: FileServer;
  let directory: string;
  const closing: SourceFetcher[] = [];
  const { signal } = new AbortController();
  beforeAll(async () => {
    files = await startFileServer({ directory: await temporaryFolder('files') });
    directory = join(await temporaryFolder('spool'), 'files');
    await new Spool({ directory, maxBytes: MIB }).start();
  });
  afterEach(() => {
    files.clearFaults();
    for (const fetcher of closing.splice(0)) fetcher.close();
  });
  afterAll(() => files.close());

  function started(maxBytes = 100 * MIB, silenceTimeoutMs = 2_000): { spool: Spool; fetcher: SourceFetcher } {
    const spool = new Spool({ directory, maxBytes });
    const fetcher = new SourceFetcher({
      spool,
      guard: new AddressGuard({ allowed: parseAllowedAddresses(`127.0.0.1/32:${files.port}`) }),
      storeUrl: 'http://127.0.0.1:1',
      hubTokens: { sign: () => Promise.resolve('token') },
      maxFileBytes: 20 * MIB,
      connectTimeoutMs: 1_000,
      silenceTimeoutMs,
    });
    closing.push(fetcher);
    return { spool, fetcher };
  }
  function aSource(name: string, bytes: Buffer): OfferedFile {
    writeFileSync(join(files.directory, name), bytes);
    return { name, kind: 'production', mimeType: 'x/y', source: { kind: 'url', url: files.url(name) } };
  }
  async function read(file: SpooledFile): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of file.open()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  it.each([0, 1, 70_000, MIB, MIB + 1, 5 * MIB])(
    'keeps the %i bytes of a file, as often as they are read',
    async (size) => {
      const { spool, fetcher } = started();
      const bytes = randomBytes(size);

      const file = await fetcher.fetch(aSource('size.bin', bytes), 'demo', signal);

      expect(file).toMatchObject({
        sizeBytes: size,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      });
      expect((await read(file)).equals(bytes)).toBe(true);
      expect((await read(file)).equals(bytes)).toBe(true);
      expect(file.bytes && Buffer.from(file.bytes)).toEqual(size <= MIB ? bytes : undefined);
      expect(spool.usedBytes).toBe(size);
      await file.dispose();
      await file.dispose();
      expect(spool.usedBytes).toBe(0);
    },
  );

  it('leaves nothing in its folder for a process that is killed', async () => {
    const { fetcher } = started();

    const file = await fetcher.fetch(aSource('big.bin', randomBytes(3 * MIB)), 'demo', signal);

    expect(readdirSync(directory)).toEqual([]);
    await file.dispose();
  });

  it('removes what an earlier process left', async () => {
    writeFileSync(join(directory, 'left.spool'), 'left');

    await started().spool.start();

    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ['answers 503', { kind: 'status', status: 503 }],
    ['answers 404', { kind: 'status', status: 404 }],
    ['answers 410', { kind: 'status', status: 410 }],
    ['answers 206', { kind: 'status', status: 206 }],
    ['redirects', { kind: 'redirect', location: 'http://127.0.0.1/' }],
    ['never answers', { kind: 'hang' }],
    ['falls silent', { kind: 'hang', afterBytes: 10_000 }],
    ['is cut', { kind: 'cut', afterBytes: 10_000 }],
    ['is shorter than it says', { kind: 'length', declaredBytes: 90_000 }],
    ['encodes on its own account', { kind: 'status', status: 200, headers: { 'content-encoding': 'br' } }],
  ] as const)(
    'ends with SOURCE_UNAVAILABLE for a source that %s, and names the file only',
    async (_what, fault) => {
      const { spool, fetcher } = started(100 * MIB, 300);
      const source = aSource('fault.bin', randomBytes(50_000));
      files.setFault('fault.bin', fault);

      const error = await fetcher.fetch(source, 'demo', signal).catch((caught: unknown) => caught);

      expect(error).toMatchObject({
        code: 'SOURCE_UNAVAILABLE',
        message: expect.stringMatching(/^fetching fault\.bin: /),
      });
      expect((error as Error).message).not.toContain('127.0.0.1');
      expect(spool.usedBytes).toBe(0);
    },
  );

  it.each([
    ['address-unreadable', 'ADDRESS_REFUSED', 'no http(s) address'],
    ['hub-address', 'ADDRESS_REFUSED', 'no such file of this recipe'],
    ['too-many-files', 'TOO_LARGE', 'too many files'],
  ] as const)('asks nobody for a file that is listed with the fault %s', async (fault, code, words) => {
    const { fetcher } = started();
    const file = aSource('faulty.bin', Buffer.from('bytes'));
    const source = { kind: 'url', url: files.url('faulty.bin'), fault } as const;
    const asked = files.requests.length;

    for (const attempt of [
      fetcher.fetch({ ...file, source }, 'demo', signal),
      fetcher.check({ ...file, source }, signal),
    ])
      await expect(attempt).rejects.toMatchObject({
        code,
        retryable: false,
        message: expect.stringMatching(/^fetching faulty\.bin: /),
      });

    await expect(fetcher.check({ ...file, source }, signal)).rejects.toThrow(words);
    expect(files.requests).toHaveLength(asked);
  });

  it('looks behind a link by its first byte, and for a while not again', async () => {
    const { fetcher } = started();
    const source = aSource('linked.bin', randomBytes(5 * MIB));
    const empty = aSource('empty.bin', Buffer.alloc(0));
    files.setFault('empty.bin', { kind: 'status', status: 416, headers: { 'content-range': 'bytes */0' } });
    const ofHub: OfferedFile = { ...source, source: { kind: 'hub', path: '/internal/x' } };
    const asked = files.requests.length;

    for (const file of [source, source, empty, ofHub]) await fetcher.check(file, signal);

    expect(files.requests.slice(asked)).toMatchObject([
      { method: 'GET', path: '/linked.bin', headers: { range: 'bytes=0-0' } },
      { method: 'GET', path: '/empty.bin' },
    ]);
  });

  it.each([
    ['answers 404', { kind: 'status', status: 404 }],
    ['answers 416 of its own accord', { kind: 'status', status: 416 }],
    ['redirects', { kind: 'redirect', location: 'http://127.0.0.1/' }],
    ['never answers', { kind: 'hang' }],
  ] as const)('finds nothing behind a link whose source %s, and looks again', async (_what, fault) => {
    const { fetcher } = started(100 * MIB, 300);
    const source = aSource('unlinked.bin', randomBytes(100));
    files.setFault('unlinked.bin', { ...fault, times: 1 });

    const error = await fetcher.check(source, signal).catch((caught: unknown) => caught);

    expect(error).toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/^fetching unlinked\.bin: /),
    });
    expect((error as Error).message).not.toContain('127.0.0.1');
    await fetcher.check(source, signal);
  });

  it('ends with TOO_LARGE for a file over the limit, whether it says so or not', async () => {
    const { spool, fetcher } = started();
    const source = aSource('large.bin', randomBytes(21 * MIB));

    await expect(fetcher.fetch(source, 'demo', signal)).rejects.toMatchObject({
      code: 'TOO_LARGE',
      retryable: false,
    });
    expect(spool.usedBytes).toBe(0);
  });

  it('stops at once when its attempt is aborted, with the reason of the abort', async () => {
    const { spool, fetcher } = started();
    const source = aSource('slow.bin', randomBytes(3 * MIB));
    files.setFault('slow.bin', { kind: 'slow', bytesPerSecond: 100_000 });
    const controller = new AbortController();
    const reason = new DestinationError('TIMEOUT', 'stopped');

    const fetched = fetcher.fetch(source, 'demo', controller.signal);
    setTimeout(() => controller.abort(reason), 100);

    await expect(fetched).rejects.toBe(reason);
    expect(spool.usedBytes).toBe(0);
  });

  it('waits for the store of the hub, and says so when its attempt is aborted meanwhile', async () => {
    const { spool, fetcher } = started();
    const document: OfferedFile = {
      name: 'Recipe.json',
      kind: 'recipe',
      mimeType: 'application/json',
      source: { kind: 'hub', path: '/internal/recipes/demo/DRIVE-001/1', sha256: 'a'.repeat(64) },
    };
    const controller = new AbortController();

    const fetched = fetcher.fetch(document, 'demo', controller.signal);
    setTimeout(() => controller.abort(new DestinationError('TIMEOUT', 'stopped')), 300);

    await expect(fetched).rejects.toBeInstanceOf(HubAway);
    expect(spool.usedBytes).toBe(0);
  });

  it('waits while the spool is full, and never holds more than it may', async () => {
    const { spool, fetcher } = started(5 * MIB);
    const source = aSource('wait.bin', randomBytes(2 * MIB));
    let most = 0;

    const fetches = Array.from({ length: 12 }, async () => {
      const file = await fetcher.fetch(source, 'demo', signal);
      most = Math.max(most, spool.usedBytes);
      await new Promise((resolve) => setTimeout(resolve, 10));
      await file.dispose();
    });
    await Promise.all(fetches);

    expect(most).toBeLessThanOrEqual(5 * MIB);
    expect(spool.usedBytes).toBe(0);
  });

  it('lets a file larger than all the room pass when nothing else is there', async () => {
    const { spool, fetcher } = started(2 * MIB);
    const small = await fetcher.fetch(aSource('small.bin', randomBytes(MIB)), 'demo', signal);
    let isThere = false;

    const large = fetcher
      .fetch(aSource('large-one.bin', randomBytes(8 * MIB)), 'demo', signal)
      .then((file) => {
        isThere = true;
        return file;
      });
    await eventually(() => expect(files.requests.some(({ path }) => path === '/large-one.bin')).toBe(true), {
      withinMs: 2_000,
    });
    expect(isThere).toBe(false);
    await small.dispose();

    expect(await large).toMatchObject({ sizeBytes: 8 * MIB });
    await (await large).dispose();
    expect(spool.usedBytes).toBe(0);
  });

  it('leaves the queue when it is aborted while it waits', async () => {
    const { spool, fetcher } = started(2 * MIB);
    const first = await fetcher.fetch(aSource('first.bin', randomBytes(2 * MIB)), 'demo', signal);
    const controller = new AbortController();

    const second = fetcher.fetch(aSource('second.bin', randomBytes(MIB)), 'demo', controller.signal);
    setTimeout(() => controller.abort(new DestinationError('TIMEOUT', 'stopped')), 100);
    await expect(second).rejects.toMatchObject({ code: 'TIMEOUT' });
    await first.dispose();

    expect(spool.usedBytes).toBe(0);
    const third = await fetcher.fetch(aSource('third.bin', randomBytes(2 * MIB)), 'demo', signal);
    await third.dispose();
  });
});
