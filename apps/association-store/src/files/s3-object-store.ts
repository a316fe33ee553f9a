import { Readable } from 'node:stream';

import { GetObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { AwsS3StorageAdapter } from '@flystorage/aws-s3';
import { FileStorage } from '@flystorage/file-storage';
import { NodeHttpHandler } from '@smithy/node-http-handler';

import { ObjectGoneError } from './object-store.js';
import type { ByteRange, ObjectStore } from './object-store.js';

export interface S3ObjectStoreOptions {
  readonly bucket: string;
  readonly region: string;
  /** Of a compatible store, which is asked in path style. */
  readonly endpoint?: string | undefined;
  /** Without them, as the SDK finds them: role of the machine, environment, profile. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
  readonly prefix: string;
}

const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;
const CONNECTIONS = 64;
/** Parts of 5 MiB that one upload holds in memory. */
const PARTS_AT_ONCE = 2;

/** A bucket. What a killed process leaves of an upload in parts is seen by nobody; a lifecycle rule ends it. */
export class S3ObjectStore implements ObjectStore {
  private readonly client: S3Client;
  private readonly storage: FileStorage;

  constructor(private readonly options: S3ObjectStoreOptions) {
    const { bucket, region, endpoint, credentials } = options;
    this.client = new S3Client({
      region,
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(credentials !== undefined && { credentials }),
      requestHandler: new NodeHttpHandler({
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: SILENCE_TIMEOUT_MS,
        httpAgent: { maxSockets: CONNECTIONS },
        httpsAgent: { maxSockets: CONNECTIONS },
      }),
    });
    this.storage = new FileStorage(
      new AwsS3StorageAdapter(this.client, { bucket, uploadConfiguration: { queueSize: PARTS_AT_ONCE } }),
    );
  }

  async write(key: string, bytes: Readable): Promise<void> {
    // A type, or the library would guess one.
    await this.storage.write(this.options.prefix + key, bytes, { mimeType: 'application/octet-stream' });
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const { bucket, prefix } = this.options;
    try {
      const { Body } = await this.client.send(
        new GetObjectCommand({
          Bucket: bucket,
          Key: prefix + key,
          ...(range !== undefined && { Range: `bytes=${String(range.start)}-${String(range.end)}` }),
        }),
      );
      if (Body instanceof Readable) return Body;
      throw new TypeError('the object came without a stream');
    } catch (error) {
      if (error instanceof S3ServiceException && error.name === 'NoSuchKey')
        throw new ObjectGoneError(key, { cause: error });
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    await this.storage.deleteFile(this.options.prefix + key);
  }

  close(): void {
    this.client.destroy();
  }
}
