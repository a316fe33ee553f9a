import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

import { FileStorage } from '@flystorage/file-storage';
import { LocalStorageAdapter } from '@flystorage/local-fs';

import { ObjectGoneError } from './object-store.js';
import type { ByteRange, ObjectStore } from './object-store.js';

/** A folder of this machine, or one that several mount. */
export class LocalObjectStore implements ObjectStore {
  private readonly storage: FileStorage;

  constructor(private readonly directory: string) {
    this.storage = new FileStorage(
      new LocalStorageAdapter(directory, { rootDirectoryVisibility: 'private' }),
      undefined,
      { visibility: { visibility: 'private', directoryVisibility: 'private' } },
    );
  }

  async write(key: string, bytes: Readable): Promise<void> {
    await this.storage.write(key, bytes);
    // The library leaves it to the system when they reach the disk; whoever was told 201 relies on it.
    const file = await open(join(this.directory, key), 'r+');
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Not by the library: it knows no ranges, and keeps files open whose reader leaves before their end. */
  async read(key: string, range?: ByteRange): Promise<Readable> {
    const file = await open(join(this.directory, key)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw new ObjectGoneError(key, { cause: error });
      throw error;
    });
    return file.createReadStream(range);
  }

  async delete(key: string): Promise<void> {
    await this.storage.deleteFile(key);
  }
}
