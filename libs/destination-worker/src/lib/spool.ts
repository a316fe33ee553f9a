import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { streamed } from './streamed-bytes.js';

/** Bytes of one file, whole and measured, until they are sent. */
export interface SpooledFile {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** All of them, where they are held in memory. */
  readonly bytes?: Uint8Array;
  open(): AsyncIterable<Uint8Array>;
  /** Gives the room back. Safe to call twice. */
  dispose(): Promise<void>;
}

export interface SpoolOptions {
  readonly directory: string;
  /** Room for everything that is spooled at one time, in memory and on disk. */
  readonly maxBytes: number;
}

/** Files up to this size stay in memory. Source: architecture, section 7. */
const MAX_MEMORY_FILE_BYTES = 1024 * 1024;
/** All of them together; what comes then goes to disk whatever its size. */
const MAX_MEMORY_BYTES = 24 * 1024 * 1024;
/** Reserved at a time while a source does not say how long it is. */
const UNKNOWN_LENGTH_STEP_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const ENDING = '.spool';

/**
 * Holds fetched files until they are sent, so that a slow source never holds a connection to
 * the target.
 *
 * A file on disk is unlinked as soon as it is open: its bytes live as long as the handle, and a
 * killed process leaves nothing behind.
 */
export class Spool {
  private readonly room: SpoolRoom;
  private memoryBytes = 0;

  constructor(private readonly options: SpoolOptions) {
    this.room = new SpoolRoom(options.maxBytes);
  }

  get usedBytes(): number {
    return this.room.usedBytes;
  }

  /** Makes the folder and removes what an earlier process left between opening and unlinking a file. */
  async start(): Promise<void> {
    await mkdir(this.options.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.options.directory)) {
      if (name.endsWith(ENDING)) await unlink(join(this.options.directory, name)).catch(() => undefined);
    }
  }

  /** Room for one file, empty at first. */
  reserve(): Reservation {
    return new Reservation(this.room);
  }

  /**
   * Room for files that are held at one time, taken at once: who waits for it holds nothing that another one waits for.
   * No more than the spool has.
   */
  async reserveTogether(bytes: number, signal: AbortSignal): Promise<SharedRoom> {
    const reservation = this.reserve();
    await reservation.hold(Math.min(bytes, this.options.maxBytes), signal);
    return new SharedRoom(reservation);
  }

  writer(reservation: Reservation): SpoolWriter {
    return new SpoolWriter(reservation, {
      takeMemory: (bytes) => {
        if (this.memoryBytes + bytes > MAX_MEMORY_BYTES) return false;
        this.memoryBytes += bytes;
        return true;
      },
      giveMemory: (bytes) => {
        this.memoryBytes -= bytes;
      },
      createFile: () => this.createFile(),
    });
  }

  private async createFile(): Promise<FileHandle> {
    const path = join(this.options.directory, `${randomUUID()}${ENDING}`);
    const handle = await open(path, 'wx+', 0o600);
    // Where an open file cannot be unlinked, the next start removes it.
    await unlink(path).catch(() => undefined);
    return handle;
  }
}

/** What the bytes of files are taken from. */
interface Room {
  /** Taken at a time for a file of unknown length. */
  readonly stepBytes: number;
  /** False where there is not so much room now. */
  tryTake(reservation: Reservation, bytes: number): boolean;
  /** @param sizeBytes of the whole file, where it is known. */
  take(
    reservation: Reservation,
    bytes: number,
    signal: AbortSignal,
    sizeBytes: number | undefined,
  ): Promise<void>;
  give(reservation: Reservation, bytes: number, isLast: boolean): void;
}

interface Waiter {
  readonly reservation: Reservation;
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * Counts the bytes of the spool and makes fetches wait while it is full.
 *
 * Never a deadlock: a finished file leaves without needing room, and of the unfinished ones one
 * at a time may exceed the limit, as may a single file that is larger than all the room.
 */
class SpoolRoom implements Room {
  readonly stepBytes = UNKNOWN_LENGTH_STEP_BYTES;
  usedBytes = 0;
  private readonly waiters: Waiter[] = [];
  private overdrawn: Reservation | undefined;

  constructor(private readonly maxBytes: number) {}

  tryTake(reservation: Reservation, bytes: number): boolean {
    const fits = this.usedBytes + bytes <= this.maxBytes;
    if (!fits) {
      const mayOverdraw = this.overdrawn === undefined && (reservation.heldBytes > 0 || this.usedBytes === 0);
      if (!mayOverdraw && this.overdrawn !== reservation) return false;
      this.overdrawn = reservation;
    }
    this.usedBytes += bytes;
    return true;
  }

  take(reservation: Reservation, bytes: number, signal: AbortSignal): Promise<void> {
    if (this.tryTake(reservation, bytes)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', abort);
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
      };
      const abort = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        reservation,
        bytes,
        grant: () => {
          leave();
          resolve();
        },
      };
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      signal.addEventListener('abort', abort, { once: true });
      this.waiters.push(waiter);
    });
  }

  give(reservation: Reservation, bytes: number, isLast: boolean): void {
    this.usedBytes -= bytes;
    if (this.overdrawn === reservation && (isLast || this.usedBytes <= this.maxBytes))
      this.overdrawn = undefined;
    // Who holds a part of a file goes first, else in the order of arrival.
    for (const waiter of [...this.waiters].sort(
      (left, right) => Number(right.reservation.heldBytes > 0) - Number(left.reservation.heldBytes > 0),
    )) {
      if (!this.tryTake(waiter.reservation, waiter.bytes)) return;
      waiter.grant();
    }
  }
}

/** A file has no room beside those that it is held with, and waiting brings none. */
export class DoesNotFit extends Error {
  override readonly name = 'DoesNotFit';

  /** @param sizeBytes of the file, as far as anybody has said. */
  constructor(readonly sizeBytes: number | undefined) {
    super('no room beside the other files');
  }
}

/** The room of files that are held together: each takes its own from it, and nobody waits. */
export class SharedRoom implements Room {
  readonly stepBytes = 0;
  private leftBytes: number;

  constructor(private readonly reservation: Reservation) {
    this.leftBytes = reservation.heldBytes;
  }

  reserve(): Reservation {
    return new Reservation(this);
  }

  tryTake(_reservation: Reservation, bytes: number): boolean {
    if (bytes > this.leftBytes) return false;
    this.leftBytes -= bytes;
    return true;
  }

  take(
    reservation: Reservation,
    bytes: number,
    _signal: AbortSignal,
    sizeBytes: number | undefined,
  ): Promise<void> {
    if (this.tryTake(reservation, bytes)) return Promise.resolve();
    return Promise.reject(new DoesNotFit(sizeBytes));
  }

  give(_reservation: Reservation, bytes: number): void {
    this.leftBytes += bytes;
  }

  /** All files have come: what they have left goes back. */
  settle(): void {
    this.reservation.shrinkTo(this.reservation.heldBytes - this.leftBytes);
    this.leftBytes = 0;
  }

  close(): void {
    this.reservation.release();
  }
}

/** Room that one file holds. */
export class Reservation {
  heldBytes = 0;

  constructor(private readonly room: Room) {}

  get stepBytes(): number {
    return this.room.stepBytes;
  }

  /** True when `bytes` are held now. */
  tryHold(bytes: number): boolean {
    if (bytes <= this.heldBytes) return true;
    if (!this.room.tryTake(this, bytes - this.heldBytes)) return false;
    this.heldBytes = bytes;
    return true;
  }

  /**
   * Waits until `bytes` are held.
   *
   * @param sizeBytes of the whole file, where it is known.
   */
  async hold(bytes: number, signal: AbortSignal, sizeBytes?: number): Promise<void> {
    if (bytes <= this.heldBytes) return;
    await this.room.take(this, bytes - this.heldBytes, signal, sizeBytes);
    this.heldBytes = bytes;
  }

  shrinkTo(bytes: number): void {
    if (bytes >= this.heldBytes) return;
    const freed = this.heldBytes - bytes;
    this.heldBytes = bytes;
    this.room.give(this, freed, false);
  }

  /** Safe to call twice; what is held afterwards is released again. */
  release(): void {
    const freed = this.heldBytes;
    this.heldBytes = 0;
    this.room.give(this, freed, true);
  }
}

interface Storage {
  takeMemory(bytes: number): boolean;
  giveMemory(bytes: number): void;
  createFile(): Promise<FileHandle>;
}

/** Takes the bytes of one file, hashes them and ends as a `SpooledFile`. */
export class SpoolWriter {
  sizeBytes = 0;
  private readonly hash = createHash('sha256');
  private chunks: Uint8Array[] | undefined = [];
  private memoryBytes = 0;
  private file: FileHandle | undefined;

  constructor(
    private readonly reservation: Reservation,
    private readonly storage: Storage,
  ) {}

  async write(chunk: Uint8Array): Promise<void> {
    this.hash.update(chunk);
    const start = this.sizeBytes;
    this.sizeBytes += chunk.length;
    if (this.chunks) {
      if (this.sizeBytes <= MAX_MEMORY_FILE_BYTES && this.storage.takeMemory(chunk.length)) {
        this.memoryBytes += chunk.length;
        this.chunks.push(chunk);
        return;
      }
      const earlier = this.chunks;
      this.chunks = undefined;
      this.file = await this.storage.createFile();
      let position = 0;
      for (const kept of earlier) {
        await writeAll(this.file, kept, position);
        position += kept.length;
      }
      this.storage.giveMemory(this.memoryBytes);
      this.memoryBytes = 0;
    }
    if (this.file) await writeAll(this.file, chunk, start);
  }

  finish(): SpooledFile {
    const { chunks, file, sizeBytes } = this;
    this.reservation.shrinkTo(sizeBytes);
    const common = {
      sizeBytes,
      sha256: this.hash.digest('hex'),
      dispose: () => this.discard(),
    };
    if (!chunks) return { ...common, open: () => readAll(file, sizeBytes) };
    const [first] = chunks;
    const bytes = chunks.length === 1 && first ? first : Buffer.concat(chunks, sizeBytes);
    return { ...common, bytes, open: () => fromMemory(bytes) };
  }

  async discard(): Promise<void> {
    this.reservation.release();
    this.storage.giveMemory(this.memoryBytes);
    this.memoryBytes = 0;
    this.chunks = undefined;
    const { file } = this;
    this.file = undefined;
    await file?.close().catch(() => undefined);
  }
}

function fromMemory(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const values = (bytes.length === 0 ? [] : [bytes]).values();
      return { next: () => Promise.resolve(values.next()) };
    },
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  streamed(bytes.length);
  let written = 0;
  while (written < bytes.length) {
    const result = await file.write(bytes, written, bytes.length - written, position + written);
    written += result.bytesWritten;
  }
}

async function* readAll(file: FileHandle | undefined, sizeBytes: number): AsyncIterable<Uint8Array> {
  if (!file) throw new Error('reading a spooled file: it is disposed of');
  for (let position = 0; position < sizeBytes;) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, sizeBytes - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) throw new Error('reading a spooled file: it is shorter than it was');
    position += bytesRead;
    streamed(bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}
