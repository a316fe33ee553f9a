import { Readable } from 'node:stream';

import { ContainerClient, RestError } from '@azure/storage-blob';
import { AzureStorageBlobStorageAdapter } from '@flystorage/azure-storage-blob';
import { FileStorage } from '@flystorage/file-storage';

import { ObjectGoneError } from './object-store.js';
import type { ByteRange, ObjectStore } from './object-store.js';

export interface AzureObjectStoreOptions {
  readonly connectionString: string;
  readonly container: string;
  readonly prefix: string;
}

const TRY_WITHIN_MS = 60_000;
const TRIES = 3;
/** Blocks of 8 MiB that one upload holds in memory. */
const BLOCKS_AT_ONCE = 2;

/** A container. Blocks of an upload that a process did not finish are seen by nobody; the service drops them. */
export class AzureObjectStore implements ObjectStore {
  private readonly container: ContainerClient;
  private readonly storage: FileStorage;

  constructor(private readonly options: AzureObjectStoreOptions) {
    this.container = new ContainerClient(options.connectionString, options.container, {
      retryOptions: { maxTries: TRIES, tryTimeoutInMs: TRY_WITHIN_MS },
    });
    this.storage = new FileStorage(
      new AzureStorageBlobStorageAdapter(this.container, { uploadMaxConcurrency: BLOCKS_AT_ONCE }),
    );
  }

  async write(key: string, bytes: Readable): Promise<void> {
    // A type, or the library would guess one.
    await this.storage.write(this.options.prefix + key, bytes, { mimeType: 'application/octet-stream' });
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const blob = this.container.getBlockBlobClient(this.options.prefix + key);
    try {
      const count = range === undefined ? undefined : range.end - range.start + 1;
      const { readableStreamBody } = await blob.download(range?.start, count);
      if (readableStreamBody instanceof Readable) return readableStreamBody;
      throw new TypeError('the blob came without a stream');
    } catch (error) {
      if (error instanceof RestError && error.code === 'BlobNotFound')
        throw new ObjectGoneError(key, { cause: error });
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    await this.storage.deleteFile(this.options.prefix + key);
  }
}
