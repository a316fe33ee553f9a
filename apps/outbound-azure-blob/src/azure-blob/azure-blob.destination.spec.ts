import { posix } from 'node:path';

import { FileName } from '@heddle/contracts';
import type { AzureBlobSettings } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt } from '@heddle/destination-testing';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { AzureFault } from './azure-blob.client.js';
import type { BlobCommit, BlobContainer, BlobContainers, FoundBlob } from './azure-blob.client.js';
import { AzureBlobDestination, blobNameOf } from './azure-blob.destination.js';

/** Keeps blobs by name and can be told to fail. */
class InMemoryContainer implements BlobContainer, BlobContainers {
  readonly address = 'https://press.blob.example/in';
  readonly blobs = new Map<string, { readonly bytes: Buffer; readonly sha256: string }>();
  readonly calls: string[] = [];
  canRead = false;
  failOn: (call: string) => Error | undefined = () => undefined;
  private readonly staged = new Map<string, Buffer>();

  of(): BlobContainer {
    return this;
  }
  async stage(name: string, { id, bytes }: { id: string; bytes: Uint8Array }): Promise<void> {
    this.check(`stage ${name}`);
    this.staged.set(`${name} ${id}`, Buffer.from(bytes));
  }
  async commit({ name, blockIds, sha256, isCreateOnly }: BlobCommit): Promise<string> {
    this.check(`commit ${name}`);
    if (isCreateOnly && this.blobs.has(name)) throw new AzureFault('BlobAlreadyExists', { status: 409 });
    const blocks = blockIds.map((id) => this.staged.get(`${name} ${id}`));
    if (blocks.includes(undefined)) throw new AzureFault('InvalidBlockList', { status: 400 });
    this.blobs.set(name, { bytes: Buffer.concat(blocks as Buffer[]), sha256 });
    return '"1"';
  }
  async find(name: string): Promise<FoundBlob> {
    this.check(`find ${name}`);
    if (!this.canRead) throw new AzureFault('AuthorizationPermissionMismatch', { status: 403 });
    const blob = this.blobs.get(name);
    if (!blob) throw new AzureFault('BlobNotFound', { status: 404 });
    return { sizeBytes: blob.bytes.length, md5: undefined, sha256: blob.sha256 };
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  private check(call: string): void {
    this.calls.push(call);
    const error = this.failOn(call);
    if (error) throw error;
  }
}

const SETTINGS: AzureBlobSettings = {
  'connection-string-secure': 'not read by the fake',
  container: 'in',
  prefix: '{channel}',
  overwrite: true,
};
const text = (name: string): ReturnType<typeof aDeliveryFile> => aDeliveryFile(name, Buffer.from(name));
const send = (container: InMemoryContainer, names: readonly string[], settings = SETTINGS) =>
  attempt(new AzureBlobDestination(container), aDelivery(settings, names.map(text), { channel: 'shop' }));

describe('the Azure Blob destination', () => {
  it('asks for nothing but to write', async () => {
    const container = new InMemoryContainer();

    await send(container, ['a.txt']);

    expect(container.calls).toEqual(['stage shop/a.txt', 'commit shop/a.txt']);
  });

  it('keeps the receipts of files before the one that failed, and sends no further ones', async () => {
    const container = new InMemoryContainer();
    container.failOn = (call) =>
      call.endsWith('bad.txt') ? new AzureFault('AuthenticationFailed', { status: 403 }) : undefined;
    const later = Array.from({ length: 20 }, (_, index) => `later-${index}.txt`);

    const { receipts, error } = await send(container, ['1.txt', 'bad.txt', ...later]);

    expect(error).toMatchObject({
      code: 'ACCESS_DENIED',
      message: expect.stringMatching(
        /^writing https:\/\/press\.blob\.example\/in\/shop\/bad\.txt: /,
      ) as unknown,
    });
    expect(receipts.map(({ name }) => name)).toContain('1.txt');
    expect(receipts.length).toBeLessThan(8);
  });

  it('does not commit on a stale lease', async () => {
    const container = new InMemoryContainer();
    const stale = new DestinationError('TIMEOUT', 'stale');

    const { error } = await attempt(
      new AzureBlobDestination(container),
      aDelivery(SETTINGS, [text('a.txt')]),
      {
        assertLeased: () => {
          throw stale;
        },
      },
    );

    expect(error).toBe(stale);
    expect(container.calls).toEqual(['stage default/a.txt']);
  });

  it('looks again where a taken name was free a moment later', async () => {
    const container = new InMemoryContainer();
    container.canRead = true;
    container.blobs.set('shop/a.txt', { bytes: Buffer.from('older'), sha256: 'b'.repeat(64) });
    container.failOn = (call) => {
      if (!call.startsWith('find')) return undefined;
      container.blobs.clear();
      return new AzureFault('BlobNotFound', { status: 404 });
    };

    const { receipts } = await send(container, ['a.txt'], { ...SETTINGS, overwrite: false });

    expect(receipts).toMatchObject([{ name: 'a.txt', details: { etag: '"1"' } }]);
  });

  it('writes the place as an address that leads there', async () => {
    const container = new InMemoryContainer();
    const prefix = 'Halle 1/50% #2?';

    const { receipts } = await send(container, ['a.txt'], { ...SETTINGS, prefix });

    expect([...container.blobs.keys()]).toEqual([`${prefix}/a.txt`]);
    expect(receipts[0]?.location).toBe('https://press.blob.example/in/Halle%201/50%25%20%232%3F/a.txt');
  });

  it('never lets a file name leave its prefix', () => {
    const fileNames = fc
      .stringMatching(/^[A-Za-z0-9._-]{1,40}$/)
      .filter((name) => FileName.safeParse(name).success);
    fc.assert(
      fc.property(fileNames, (fileName) => {
        expect(posix.normalize(blobNameOf('in/{channel}', 'shop', fileName))).toBe(`in/shop/${fileName}`);
      }),
    );
  });

  it.each([
    ['', 'a.txt'],
    ['/', 'a.txt'],
    ['in', 'in/a.txt'],
    ['/in//{channel}/', 'in/shop/a.txt'],
    ['{channel}-{channel}', 'shop-shop/a.txt'],
  ])('reads the prefix %j as %j', (prefix, name) => {
    expect(blobNameOf(prefix, 'shop', 'a.txt')).toBe(name);
  });
});
