import { randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { loadConfig } from '@heddle/platform';
import { startAzurite, startS3Proxy, temporaryFolder } from '@heddle/testing';
import type { Azurite, S3Proxy } from '@heddle/testing';

import { Config } from '../src/config.js';
import { ObjectGoneError } from '../src/files/object-store.js';
import type { ObjectStore } from '../src/files/object-store.js';
import { objectStoreOf } from '../src/files/object-stores.js';

const BUCKET = 'uploads';
const TIMEOUT_MS = 90_000;

const REQUIRED = {
  KAFKA_BROKERS: '127.0.0.1:9092',
  DATABASE_URL: 'postgres://127.0.0.1/x',
  SERVICE_TOKEN_KEYS: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
  PUBLIC_URL: 'https://hub.example',
};

let s3: S3Proxy;
let azurite: Azurite;
beforeAll(async () => {
  [s3, azurite] = await Promise.all([startS3Proxy({ buckets: [BUCKET] }), startAzurite()]);
  await azurite.container(BUCKET).createIfNotExists();
}, TIMEOUT_MS);
afterAll(async () => {
  await Promise.all([s3.close(), azurite.close()]);
}, TIMEOUT_MS);

const storages: Readonly<Record<string, () => Promise<Record<string, string>>>> = {
  'a folder': async () => ({ FILES_DIR: await temporaryFolder('objects') }),
  'a bucket': () =>
    Promise.resolve({
      FILES_STORAGE: 's3',
      FILES_S3_BUCKET: BUCKET,
      FILES_S3_ENDPOINT: s3.endpoint,
      FILES_S3_ACCESS_KEY: s3.accessKey,
      FILES_S3_SECRET_KEY: s3.secretKey,
      FILES_PREFIX: 'heddle/',
    }),
  'a container': () =>
    Promise.resolve({
      FILES_STORAGE: 'azure-blob',
      FILES_AZURE_CONNECTION_STRING: azurite.connectionString(BUCKET, { rights: 'rwd' }),
      FILES_AZURE_CONTAINER: BUCKET,
      FILES_PREFIX: 'heddle/',
    }),
};

describe.each(Object.entries(storages))('uploaded files in %s', (_, environment) => {
  let store: ObjectStore;
  beforeAll(async () => {
    store = await objectStoreOf(loadConfig(Config, { ...REQUIRED, ...(await environment()) }));
  });

  it(
    'come back whole and in parts, small ones and large ones',
    async () => {
      for (const size of [0, 10, 20_000_000]) {
        const bytes = randomBytes(size);
        const key = `demo/${String(size)}`;
        // Not in pieces of a storage's own size.
        await store.write(key, Readable.from(pieces(bytes, 300_000)));
        expect((await buffer(await store.read(key))).equals(bytes)).toBe(true);
        if (size === 0) continue;
        const part = await buffer(await store.read(key, { start: size - 7, end: size - 2 }));
        expect(part.equals(bytes.subarray(-7, -1))).toBe(true);
      }
    },
    TIMEOUT_MS,
  );

  it('are gone when they are deleted, also twice, and are said to be', async () => {
    await store.write('demo/short-lived', Readable.from([Buffer.from('x')]));
    await store.delete('demo/short-lived');
    await store.delete('demo/short-lived');
    await expect(store.read('demo/short-lived')).rejects.toThrow(ObjectGoneError);
  });

  it('are refused when their bytes end early, and can be deleted then', async () => {
    const bytes = new PassThrough().on('error', () => undefined);
    const writing = store.write('demo/cut', bytes);
    bytes.write(randomBytes(6_000_000));
    bytes.destroy(new Error('cut'));
    await expect(writing).rejects.toThrow();
    await store.delete('demo/cut');
    await expect(store.read('demo/cut')).rejects.toThrow(ObjectGoneError);
  });
});

describe('the storage of uploaded files', () => {
  it('is not started without what it needs, and says what that is', () => {
    const load = (env: Record<string, string>) => () => loadConfig(Config, { ...REQUIRED, ...env });
    expect(load({ FILES_STORAGE: 's3' })).toThrow('FILES_S3_BUCKET');
    expect(load({ FILES_STORAGE: 'azure-blob' })).toThrow(
      /FILES_AZURE_CONNECTION_STRING[^]*FILES_AZURE_CONTAINER/,
    );
    expect(load({ FILES_S3_ACCESS_KEY: 'x' })).toThrow('FILES_S3_SECRET_KEY');
    expect(load({ FILES_PREFIX: '../up' })).toThrow('FILES_PREFIX');
  });
});

function* pieces(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
