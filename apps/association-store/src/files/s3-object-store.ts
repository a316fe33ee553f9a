import { Readable } from 'node:stream';

import type * as Sdk from '@aws-sdk/client-s3';
import { FileStorage } from '@flystorage/file-storage';

import { ObjectGoneError } from './object-store.js';
import type { ByteRange } from './object-store.js';
import { PrefixedStorage } from './prefixed-storage.js';
import type { RemoteOptions } from './prefixed-storage.js';

export interface S3ObjectStoreOptions extends RemoteOptions {
  readonly bucket: string;
  readonly region: string;
  /** Of a compatible store, which is asked in path style. */
  readonly endpoint?: string | undefined;
  /** Without them, as the SDK finds them: role of the machine, environment, profile. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;
const CONNECTIONS = 64;
/** Parts of 5 MiB that one upload holds in memory. */
const PARTS_AT_ONCE = 2;

/** A bucket. What a killed process leaves of an upload in parts is seen by nobody; a lifecycle rule ends it. */
export class S3ObjectStore extends PrefixedStorage {
  private constructor(
    private readonly options: S3ObjectStoreOptions,
    private readonly sdk: typeof Sdk,
    private readonly client: Sdk.S3Client,
    storage: FileStorage,
  ) {
    super(storage, options.prefix);
  }

  /** Loads what only a bucket needs: 10 MB of memory that other storages do without. */
  static async open(options: S3ObjectStoreOptions): Promise<S3ObjectStore> {
    const [sdk, { AwsS3StorageAdapter }, { NodeHttpHandler }] = await Promise.all([
      import('@aws-sdk/client-s3'),
      import('@flystorage/aws-s3'),
      import('@smithy/node-http-handler'),
    ]);
    const { bucket, region, endpoint, credentials } = options;
    const client = new sdk.S3Client({
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
    const adapter = new AwsS3StorageAdapter(client, {
      bucket,
      uploadConfiguration: { queueSize: PARTS_AT_ONCE },
    });
    return new S3ObjectStore(options, sdk, client, new FileStorage(adapter));
  }

  override async read(key: string, range?: ByteRange): Promise<Readable> {
    try {
      const { Body } = await this.client.send(
        new this.sdk.GetObjectCommand({
          Bucket: this.options.bucket,
          Key: this.nameOf(key),
          ...(range !== undefined && { Range: `bytes=${String(range.start)}-${String(range.end)}` }),
        }),
      );
      if (Body instanceof Readable) return Body;
      throw new TypeError('the object came without a stream');
    } catch (error) {
      if (error instanceof this.sdk.S3ServiceException && error.name === 'NoSuchKey')
        throw new ObjectGoneError(key, { cause: error });
      throw error;
    }
  }

  close(): void {
    this.client.destroy();
  }
}
