import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { OfferedFile } from '@heddle/contracts';
import { AddressGuard, parseAllowedAddresses } from '@heddle/destination-kit';
import type { CollectedFile } from '@heddle/destination-kit';
import { eventually, temporaryFolder } from '@heddle/testing';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { FetchedFiles } from '../src/lib/fetched-files.js';
import { FileCollection } from '../src/lib/file-collection.js';
import { SourceFetcher } from '../src/lib/source-fetcher.js';
import { Spool } from '../src/lib/spool.js';

const KIB = 1024;
const MIB = KIB * KIB;

/** A spool of one mebibyte, and a source that answers as a test says. */
describe('files that are held together', () => {
  const answers = new Map<string, (response: ServerResponse) => void>();
  const server = createServer((request, response) => answers.get(request.url ?? '')?.(response));
  let spool: Spool;
  let fetcher: SourceFetcher;
  const ending: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const directory = await temporaryFolder('spool');
    spool = new Spool({ directory, maxBytes: MIB });
    await spool.start();
    fetcher = new SourceFetcher({
      spool,
      guard: new AddressGuard({ allowed: parseAllowedAddresses(`127.0.0.1/32:${portOfSource()}`) }),
      storeUrl: 'http://127.0.0.1:1',
      hubTokens: { sign: () => Promise.resolve('token') },
      maxFileBytes: 20 * MIB,
      connectTimeoutMs: 1_000,
      silenceTimeoutMs: 2_000,
    });
  });
  afterEach(async () => {
    for (const end of ending.splice(0)) await end();
    answers.clear();
    fetcher.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const portOfSource = (): number => (server.address() as AddressInfo).port;
  function at(name: string): OfferedFile {
    const url = `http://127.0.0.1:${String(portOfSource())}/${name}`;
    return { name, kind: 'production', mimeType: 'x/y', source: { kind: 'url', url } };
  }
  /** @param length false: the source does not say how long it is. */
  function aSource(name: string, sizeBytes: number, { length = true, delayMs = 0 } = {}): OfferedFile {
    answers.set(`/${name}`, (response) => {
      setTimeout(() => {
        response.writeHead(200, length ? { 'content-length': sizeBytes } : {});
        response.end(randomBytes(sizeBytes));
      }, delayMs);
    });
    return at(name);
  }

  function aCollection(...offered: OfferedFile[]): {
    collect: (maxBytes: number) => Promise<readonly CollectedFile[]>;
    end: () => Promise<void>;
    fetched: FetchedFiles;
  } {
    const ended = new AbortController();
    const fetched = new FetchedFiles(offered);
    const collection = new FileCollection(
      'demo',
      offered,
      fetched,
      {
        fetch: (...args) => fetcher.fetch(...args),
        reserve: (bytes, signal) => spool.reserveTogether(bytes, signal),
      },
      ended.signal,
    );
    const end = async (): Promise<void> => {
      ended.abort();
      await collection.close();
      await fetched.dispose();
      collection.giveBack();
    };
    ending.push(end);
    return { collect: (maxBytes) => collection.collect(maxBytes), end, fetched };
  }
  const heldOf = (collected: readonly CollectedFile[]): unknown =>
    collected.map(({ name, sizeBytes, file }) => [name, sizeBytes, file !== undefined]);

  it('are no more than the spool has room for, and the rest is not read', async () => {
    const { collect, end } = aCollection(
      aSource('a', 700 * KIB),
      aSource('b', 700 * KIB),
      aSource('c', 10 * MIB, { length: false }),
      aSource('d', 300 * KIB),
    );

    const collected = await collect(100 * MIB);

    expect(heldOf(collected)).toEqual([
      ['a', 700 * KIB, true],
      ['b', 700 * KIB, false],
      ['c', undefined, false],
      ['d', 300 * KIB, true],
    ]);
    expect(spool.usedBytes).toBe(1_000 * KIB);
    await end();
    expect(spool.usedBytes).toBe(0);
  });

  it('are no more than they may be, counted to the byte', async () => {
    const { collect } = aCollection(
      aSource('a', 100, { length: false }),
      aSource('b', 101),
      aSource('c', 100),
      aSource('d', 1),
      aSource('e', 0),
    );
    expect(heldOf(await collect(200))).toEqual([
      ['a', 100, true],
      ['b', 101, false],
      ['c', 100, true],
      ['d', 1, false],
      ['e', 0, true],
    ]);
  });

  it('say nothing of the size of one that is left out where nobody has said it', async () => {
    const inline: OfferedFile = { ...at('text'), source: { kind: 'inline', text: 'x'.repeat(300) } };
    const { collect } = aCollection(
      aSource('a', 5_000, { length: false }),
      aSource('b', 5_000),
      inline,
      aSource('c', 100),
    );
    expect(heldOf(await collect(200))).toEqual([
      ['a', undefined, false],
      ['b', 5_000, false],
      ['text', 300, false],
      ['c', 100, true],
    ]);
  });

  it('are the same whoever answers first', async () => {
    const { collect } = aCollection(
      aSource('slow', 100, { delayMs: 300 }),
      aSource('unknown', 100, { length: false, delayMs: 150 }),
      aSource('fast', 100),
    );
    expect(heldOf(await collect(200))).toEqual([
      ['slow', 100, true],
      ['unknown', 100, true],
      ['fast', 100, false],
    ]);
  });

  it('wait for those of another delivery, and never in a circle', async () => {
    const sets = Array.from({ length: 6 }, (_, set) =>
      aCollection(
        aSource(`${String(set)}-a`, 400 * KIB, { length: set % 2 === 0 }),
        aSource(`${String(set)}-b`, 400 * KIB),
      ),
    );
    const done = await Promise.all(
      sets.map(async ({ collect, end }) => {
        const collected = await collect(900 * KIB);
        expect(spool.usedBytes).toBeLessThanOrEqual(MIB);
        await end();
        return collected.filter(({ file }) => file !== undefined).length;
      }),
    );
    expect(done).toEqual([2, 2, 2, 2, 2, 2]);
    expect(spool.usedBytes).toBe(0);
  });

  it('leave out what cannot be fetched, which is reported, and give their room back when they are given up', async () => {
    answers.set('/gone', (response) => response.writeHead(404).end());
    const { collect, fetched } = aCollection(aSource('a', 10), at('gone'));
    expect(heldOf(await collect(200))).toEqual([['a', 10, true]]);
    expect(fetched.faults).toMatchObject([{ name: 'gone', code: 'SOURCE_UNAVAILABLE' }]);

    answers.set('/never', () => undefined);
    const stuck = aCollection(at('never'));
    const collecting = stuck.collect(200);
    await eventually(async () => expect(spool.usedBytes).toBe(210), { withinMs: 5_000 });
    await stuck.end();
    expect(await collecting).toEqual([]);
    await eventually(async () => expect(spool.usedBytes).toBe(10), { withinMs: 5_000 });
  });
});
