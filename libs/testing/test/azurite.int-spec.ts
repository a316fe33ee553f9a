import { createHash, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';

import { BlobServiceClient } from '@azure/storage-blob';
import type { BlockBlobClient, BlockBlobCommitBlockListOptions } from '@azure/storage-blob';
import { startAzurite, temporaryFolder } from '@heddle/testing';
import type { Azurite, SasOptions } from '@heddle/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const CONTAINER = 'probes';

let server: Azurite;
beforeAll(async () => {
  server = await startAzurite();
  await server.createContainer(CONTAINER);
});
afterAll(() => server.close());

const digest = (algorithm: string, bytes: Uint8Array): Buffer => createHash(algorithm).update(bytes).digest();
const blockId = (text: string): string => digest('sha256', Buffer.from(text)).toString('base64');

function blob(name: string, options: SasOptions = {}, connection?: string): BlockBlobClient {
  const text = connection ?? server.connectionString(CONTAINER, options);
  return BlobServiceClient.fromConnectionString(text, { retryOptions: { maxTries: 1 } })
    .getContainerClient(CONTAINER)
    .getBlockBlobClient(name);
}

async function put(
  target: BlockBlobClient,
  text: string,
  options: BlockBlobCommitBlockListOptions = {},
): Promise<void> {
  const bytes = Buffer.from(text);
  await target.stageBlock(blockId(text), bytes, bytes.length);
  await target.commitBlockList([blockId(text)], options);
}

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => {
      const { statusCode, details } = error as { statusCode: number; details: { errorCode: string } };
      return `${String(statusCode)} ${details.errorCode}`;
    },
  );
const contentOf = async (name: string): Promise<string | undefined> =>
  (await server.contents(CONTAINER)).get(name)?.toString();

describe('the local Azurite', () => {
  it('shows a blob when its blocks are committed, and nothing before', async () => {
    const target = blob('whole');
    await target.stageBlock(blockId('a'), Buffer.from('a'), 1);
    expect(await contentOf('whole')).toBeUndefined();

    await target.stageBlock(blockId('b'), Buffer.from('b'), 1);
    await target.commitBlockList([blockId('b'), blockId('a')]);

    expect(await contentOf('whole')).toBe('ba');
  });

  it('refuses a block of another MD5', async () => {
    const staged = blob('md5').stageBlock(blockId('x'), Buffer.from('x'), 1, {
      transactionalContentMD5: digest('md5', Buffer.from('y')),
    });

    expect(await refusal(staged)).toMatch(/^400 /);
  });

  it('refuses to create what exists, and lets one of forty writers win', async () => {
    const conditions = { ifNoneMatch: '*' };
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        refusal(put(blob('race'), `writer ${String(index)}`, { conditions })),
      ),
    );

    expect(results.filter((result) => result === 'done')).toHaveLength(1);
    expect(new Set(results)).toEqual(new Set(['done', '409 BlobAlreadyExists']));
    expect(await contentOf('race')).toBe(`writer ${String(results.indexOf('done'))}`);
  });

  it('forgets the staged blocks of one writer when another commits', async () => {
    const target = blob('writers');
    await target.stageBlock(blockId('mine'), Buffer.from('mine'), 4);
    await put(target, 'theirs');

    expect(await refusal(target.commitBlockList([blockId('mine')]))).toBe('400 InvalidBlockList');
  });

  it.each([
    ['w', 'done', '403 AuthorizationPermissionMismatch'],
    ['rw', 'done', 'done'],
    ['r', '403 AuthorizationPermissionMismatch', 'done'],
    ['c', '403 AuthorizationPermissionMismatch', '403 AuthorizationPermissionMismatch'],
  ])('lets a signature with %s write: %s, look: %s', async (rights, write, look) => {
    await put(blob(`rights-${rights}`), 'there');

    expect(await refusal(put(blob(`rights-${rights}`, { rights }), 'again'))).toBe(write);
    const target = blob(`rights-${rights}`, { rights });
    // An answer to HEAD has no body: the code is in a header.
    expect(await refusal(target.getProperties())).toBe(look);
  });

  it('refuses an expired and a tampered signature, and a container that is not there', async () => {
    const expired = { expiresAt: new Date(Date.now() - 1_000) };
    const tampered = server.connectionString(CONTAINER).replace(/sig=..../, 'sig=AAAA');
    const elsewhere = BlobServiceClient.fromConnectionString(server.connectionString('missing'), {
      retryOptions: { maxTries: 1 },
    });

    expect(await refusal(put(blob('a', expired), 'a'))).toMatch(/^403 /);
    expect(await refusal(put(blob('a', {}, tampered), 'a'))).toMatch(/^403 /);
    const target = elsewhere.getContainerClient('missing').getBlockBlobClient('a');
    expect(await refusal(put(target, 'a'))).toBe('404 ContainerNotFound');
  });

  it('keeps what it has over a stop, account and signatures included', async () => {
    const dir = await temporaryFolder('azurite-kept');
    const first = await startAzurite({ dir });
    const connection = first.connectionString(CONTAINER);
    const bytes = randomBytes(100_000);
    try {
      await first.createContainer(CONTAINER);
      const target = blob('kept', {}, connection);
      await target.stageBlock(blockId('kept'), bytes, bytes.length);
      await target.commitBlockList([blockId('kept')]);
    } finally {
      await first.close();
    }

    const second = await startAzurite({ dir, port: first.port });
    try {
      expect((await second.contents(CONTAINER)).get('kept')?.equals(bytes)).toBe(true);
      await put(blob('more', {}, connection), 'more');
    } finally {
      await second.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('answers nobody while it is paused or killed, and comes back on the same port', async () => {
    server.pause();
    await expect(fetch(server.endpoint, { signal: AbortSignal.timeout(300) })).rejects.toThrow();
    server.resume();
    await server.kill();
    await expect(fetch(server.endpoint)).rejects.toThrow();

    await server.start();
    await server.createContainer(CONTAINER);
    await put(blob('back'), 'back');
  });
});
