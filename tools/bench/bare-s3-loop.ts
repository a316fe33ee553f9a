import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { S3Proxy } from '@heddle/testing';
import { z } from 'zod';

const run = promisify(execFile);

/** Fetches, hashes and puts each file; what a worker cannot do without. Prints the seconds that it took. */
const BARE_LOOP = `
import { createHash } from 'node:crypto';
import { S3Client, PutObjectCommand, CreateMultipartUploadCommand, UploadPartCommand, CompleteMultipartUploadCommand } from '@aws-sdk/client-s3';
const { s3, bucket, url, prefix, count, connections } = JSON.parse(process.argv[1]);
const client = new S3Client({ ...s3, forcePathStyle: true });
const PART = 8 * 1024 * 1024;
async function put(name) {
  const answer = await fetch(url);
  const length = Number(answer.headers.get('content-length'));
  if (length <= PART) {
    const Body = Buffer.from(await answer.arrayBuffer());
    const ChecksumSHA256 = createHash('sha256').update(Body).digest('base64');
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: name, Body, ChecksumSHA256 }));
    return;
  }
  const whole = createHash('sha256');
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: name, ChecksumAlgorithm: 'SHA256' }));
  const parts = [];
  const running = new Set();
  let pieces = [], size = 0;
  const flush = async () => {
    const Body = Buffer.concat(pieces);
    pieces = []; size = 0;
    const PartNumber = parts.length + 1;
    const ChecksumSHA256 = createHash('sha256').update(Body).digest('base64');
    const part = { PartNumber, ChecksumSHA256 };
    parts.push(part);
    const sent = client.send(new UploadPartCommand({ Bucket: bucket, Key: name, UploadId, PartNumber, Body, ChecksumSHA256 }))
      .then(({ ETag }) => { part.ETag = ETag; running.delete(sent); });
    running.add(sent);
    if (running.size >= 4) await Promise.race(running);
  };
  for await (const chunk of answer.body) {
    whole.update(chunk);
    for (let rest = Buffer.from(chunk); rest.length > 0; ) {
      const piece = rest.subarray(0, PART - size);
      pieces.push(piece); size += piece.length; rest = rest.subarray(piece.length);
      if (size === PART) await flush();
    }
  }
  if (size > 0) await flush();
  await Promise.all(running);
  whole.digest();
  await client.send(new CompleteMultipartUploadCommand({ Bucket: bucket, Key: name, UploadId, MultipartUpload: { Parts: parts } }));
}
const waiting = Array.from({ length: count }, (_, index) => prefix + index);
const startedAt = performance.now();
await Promise.all(Array.from({ length: connections }, async () => {
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) await put(name);
}));
console.log(JSON.stringify({ seconds: (performance.now() - startedAt) / 1000 }));
process.exit();
`;

/**
 * A process of its own, so that it has a core to itself as a worker has.
 *
 * @returns seconds for that many objects of what stands at `url`.
 */
export async function bareLoop(
  s3: S3Proxy,
  work: {
    readonly bucket: string;
    readonly url: string;
    /** Of the objects' names. */
    readonly prefix: string;
    readonly count: number;
    readonly connections: number;
  },
): Promise<number> {
  const input = {
    s3: {
      endpoint: s3.endpoint,
      region: s3.region,
      credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
    },
    ...work,
  };
  const { stdout } = await run(process.execPath, [
    '--input-type=module',
    '-e',
    BARE_LOOP,
    JSON.stringify(input),
  ]);
  return z.object({ seconds: z.number() }).parse(JSON.parse(stdout)).seconds;
}
