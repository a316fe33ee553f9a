import type { Readable } from 'node:stream';

import type { FileStorage } from '@flystorage/file-storage';

import type { ByteRange, ObjectStore } from './object-store.js';

/** What every storage that somebody else serves can be given. */
export interface RemoteOptions {
  /** What the names of all objects start with. */
  readonly prefix: string;
}

/** Objects below a prefix, through the library where it does what we need. */
export abstract class PrefixedStorage implements ObjectStore {
  protected constructor(
    private readonly storage: FileStorage,
    private readonly prefix: string,
  ) {}

  async write(key: string, bytes: Readable): Promise<void> {
    // A type, or the library would guess one.
    await this.storage.write(this.nameOf(key), bytes, { mimeType: 'application/octet-stream' });
  }

  abstract read(key: string, range?: ByteRange): Promise<Readable>;

  async delete(key: string): Promise<void> {
    await this.storage.deleteFile(this.nameOf(key));
  }

  protected nameOf(key: string): string {
    return this.prefix + key;
  }
}
