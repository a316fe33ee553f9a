import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { startS3Proxy } from '@heddle/testing';
import type { S3Proxy } from '@heddle/testing';

const BUCKET = 'probes';
/** The least that a part may have, but the last. Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const PART_BYTES = 5 * 1024 * 1024;
const WRITERS = 40;

let server: S3Proxy;
const clients: S3Client[] = [];

beforeAll(async () => {
  server = await startS3Proxy({ buckets: [BUCKET] });
}, 90_000);

afterAll(async () => {
  for (const client of clients) client.destroy();
  await server.close();
});

function connect(secretAccessKey = server.secretKey, accessKeyId = server.accessKey): S3Client {
  const client = new S3Client({
    endpoint: server.endpoint,
    region: server.region,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  clients.push(client);
  return client;
}

const hash = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('base64');

async function multipart(
  client: S3Client,
  Key: string,
  { ifNoneMatch = false, wrongPart = false } = {},
): Promise<void> {
  const at = { Bucket: BUCKET, Key };
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...at, ChecksumAlgorithm: 'SHA256' }),
  );
  try {
    const parts = await Promise.all(
      [randomBytes(PART_BYTES), randomBytes(10)].map(async (Body, index) => {
        const ChecksumSHA256 = hash(wrongPart ? 'other bytes' : Body);
        const part = { PartNumber: index + 1, ChecksumSHA256 };
        const { ETag } = await client.send(new UploadPartCommand({ ...at, ...part, UploadId, Body }));
        return { ...part, ETag };
      }),
    );
    await client.send(
      new CompleteMultipartUploadCommand({
        ...at,
        UploadId,
        MultipartUpload: { Parts: parts },
        ...(ifNoneMatch && { IfNoneMatch: '*' }),
      }),
    );
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand({ ...at, UploadId }));
    throw error;
  }
}

async function race(
  write: (index: number) => Promise<unknown>,
): Promise<{ winners: number; faults: unknown[] }> {
  const results = await Promise.allSettled(Array.from({ length: WRITERS }, (_, index) => write(index)));
  const faults = results
    .filter((result) => result.status === 'rejected')
    .map(({ reason }) => reason as unknown);
  return { winners: WRITERS - faults.length, faults };
}

const REFUSED = { name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } };

/** What suites lean on. Each of these fails at a server that lacks the property, which several S3 servers do. */
describe('the S3 server of the tests', () => {
  it('refuses a create-only write to a taken name with 412 and keeps what was there', async () => {
    const client = connect();
    const at = { Bucket: BUCKET, Key: 'taken.txt' };
    await client.send(new PutObjectCommand({ ...at, Body: 'first' }));

    await expect(
      client.send(new PutObjectCommand({ ...at, Body: 'second one', IfNoneMatch: '*' })),
    ).rejects.toMatchObject(REFUSED);

    expect(await client.send(new HeadObjectCommand(at))).toMatchObject({ ContentLength: 5 });
  });

  it('lets one of many racing create-only writers win', async () => {
    const client = connect();
    const write = (index: number): Promise<unknown> =>
      client.send(
        new PutObjectCommand({ Bucket: BUCKET, Key: 'race.txt', Body: `writer ${index}`, IfNoneMatch: '*' }),
      );

    const { winners, faults } = await race(write);

    expect(winners).toBe(1);
    for (const fault of faults) expect(fault).toMatchObject(REFUSED);
  });

  it('refuses and races multipart uploads alike', async () => {
    const client = connect();
    await multipart(client, 'taken.bin');

    await expect(multipart(client, 'taken.bin', { ifNoneMatch: true })).rejects.toMatchObject(REFUSED);

    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => multipart(client, 'race.bin', { ifNoneMatch: true })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('refuses bytes that are not those of the checksum, whole or in parts', async () => {
    const client = connect();
    const at = { Bucket: BUCKET, Key: 'wrong.txt' };

    await expect(
      client.send(new PutObjectCommand({ ...at, Body: 'sent', ChecksumSHA256: hash('meant') })),
    ).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
    await expect(multipart(client, 'wrong.bin', { wrongPart: true })).rejects.toMatchObject({
      $metadata: { httpStatusCode: 400 },
    });

    await expect(client.send(new HeadObjectCommand(at))).rejects.toMatchObject({ name: 'NotFound' });
  });

  it('tells the checksum of what it holds', async () => {
    const client = connect();
    const at = { Bucket: BUCKET, Key: 'known.txt' };
    await client.send(new PutObjectCommand({ ...at, Body: 'known', ChecksumSHA256: hash('known') }));

    expect(await client.send(new HeadObjectCommand({ ...at, ChecksumMode: 'ENABLED' }))).toMatchObject({
      ChecksumSHA256: hash('known'),
    });
  });

  it.each([
    ['another secret', () => connect('another-secret')],
    ['another access key', () => connect(server.secretKey, 'another-key')],
  ])('refuses %s with 403', async (_what, stranger) => {
    await expect(
      stranger().send(new PutObjectCommand({ Bucket: BUCKET, Key: 'stranger.txt', Body: 'x' })),
    ).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
  });

  it('answers 404 for a bucket that does not exist', async () => {
    await expect(
      connect().send(new PutObjectCommand({ Bucket: 'missing', Key: 'a', Body: 'x' })),
    ).rejects.toMatchObject({ name: 'NoSuchBucket', $metadata: { httpStatusCode: 404 } });
  });

  it('forgets an upload that is aborted', async () => {
    const client = connect();
    const at = { Bucket: BUCKET, Key: 'aborted.bin' };
    const uploads = async (): Promise<(string | undefined)[]> =>
      ((await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads ?? []).map(
        ({ Key }) => Key,
      );
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at));
    expect(await uploads()).toContain('aborted.bin');

    await client.send(new AbortMultipartUploadCommand({ ...at, UploadId }));

    expect(await uploads()).not.toContain('aborted.bin');
  });

  it('holds its objects as files, over a kill too', async () => {
    const put = (Key: string): Promise<unknown> =>
      connect().send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: 'x' }));
    await put('folder/before.txt');

    await server.kill();
    await expect(put('folder/away.txt')).rejects.toThrow('ECONNREFUSED');
    await server.start();
    await put('folder/after.txt');

    const at = (name: string): boolean => existsSync(join(server.directory, BUCKET, 'folder', name));
    expect(['before.txt', 'away.txt', 'after.txt'].map(at)).toEqual([true, false, true]);
  }, 60_000);
});
