import type { Readable } from 'node:stream';

/** Part of an object, both ends included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Bytes by key. A key is written once and never again, so that nothing has to be moved, locked or compared; what
 * is kept under which key stands in the database.
 */
export interface ObjectStore {
  /**
   * Resolves when the bytes have reached the storage to stay. Where it rejects, something may be left under the key.
   */
  write(key: string, bytes: Readable): Promise<void>;
  /** @throws {ObjectGoneError} */
  read(key: string, range?: ByteRange): Promise<Readable>;
  /** What is not there is gone already. */
  delete(key: string): Promise<void>;
}
export const OBJECT_STORE = Symbol('ObjectStore');

/** The database knows of an object that the storage does not have. */
export class ObjectGoneError extends Error {
  override readonly name = 'ObjectGoneError';
}
