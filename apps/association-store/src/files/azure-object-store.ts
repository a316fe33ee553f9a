import { Readable } from 'node:stream';

import type * as Sdk from '@azure/storage-blob';
import { FileStorage } from '@flystorage/file-storage';

import { ObjectGoneError } from './object-store.js';
import type { ByteRange } from './object-store.js';
import { PrefixedStorage } from './prefixed-storage.js';
import type { RemoteOptions } from './prefixed-storage.js';

export interface AzureObjectStoreOptions extends RemoteOptions {
  readonly connectionString: string;
  readonly container: string;
}

const TRY_WITHIN_MS = 60_000;
const TRIES = 3;
/** Blocks of 8 MiB that one upload holds in memory. */
const BLOCKS_AT_ONCE = 2;

/** A container. Blocks of an upload that a process did not finish are seen by nobody; the service drops them. */
export class AzureObjectStore extends PrefixedStorage {
  private constructor(
    { prefix }: AzureObjectStoreOptions,
    private readonly sdk: typeof Sdk,
    private readonly container: Sdk.ContainerClient,
    storage: FileStorage,
  ) {
    super(storage, prefix);
  }

  /** Loads what only a container needs: memory that other storages do without. */
  static async open(options: AzureObjectStoreOptions): Promise<AzureObjectStore> {
    const [sdk, { AzureStorageBlobStorageAdapter }] = await Promise.all([
      import('@azure/storage-blob'),
      import('@flystorage/azure-storage-blob'),
    ]);
    const container = new sdk.ContainerClient(options.connectionString, options.container, {
      retryOptions: { maxTries: TRIES, tryTimeoutInMs: TRY_WITHIN_MS },
    });
    const adapter = new AzureStorageBlobStorageAdapter(container, { uploadMaxConcurrency: BLOCKS_AT_ONCE });
    return new AzureObjectStore(options, sdk, container, new FileStorage(adapter));
  }

  override async read(key: string, range?: ByteRange): Promise<Readable> {
    const blob = this.container.getBlockBlobClient(this.nameOf(key));
    try {
      const count = range === undefined ? undefined : range.end - range.start + 1;
      const { readableStreamBody } = await blob.download(range?.start, count);
      if (readableStreamBody instanceof Readable) return readableStreamBody;
      throw new TypeError('the blob came without a stream');
    } catch (error) {
      if (error instanceof this.sdk.RestError && error.code === 'BlobNotFound')
        throw new ObjectGoneError(key, { cause: error });
      throw error;
    }
  }
}
