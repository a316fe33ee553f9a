import type { OfferedFile } from '@heddle/contracts';
import type { CollectedFile } from '@heddle/destination-kit';

import type { FetchedFiles } from './fetched-files.js';
import { FETCHES } from './file-set.js';
import type { FetchFile } from './file-set.js';
import { DoesNotFit } from './spool.js';
import type { SharedRoom } from './spool.js';

/** Takes room for files that are held at one time; see `Spool.reserveTogether`. */
export type ReserveTogether = (bytes: number, signal: AbortSignal) => Promise<SharedRoom>;

/** The files of one attempt, fetched to be held together; see `Delivery.collect`. */
export class FileCollection {
  private readonly running = new Set<Promise<void>>();
  private room: SharedRoom | undefined;

  constructor(
    private readonly tenant: string,
    private readonly offered: readonly OfferedFile[],
    private readonly fetched: FetchedFiles,
    private readonly options: { readonly fetch: FetchFile; readonly reserve: ReserveTogether },
    private readonly signal: AbortSignal,
  ) {}

  async collect(maxBytes: number): Promise<readonly CollectedFile[]> {
    const room = await this.options.reserve(maxBytes, this.signal);
    this.room = room;
    const collected = new Map<string, CollectedFile>();
    for (const file of this.offered) {
      if (this.signal.aborted) break;
      while (this.running.size >= FETCHES) await Promise.race(this.running);
      // What is left for a file is known when those before it have their room: who answers first must not decide.
      const { promise: sized, resolve } = Promise.withResolvers<undefined>();
      const onSized = (): void => resolve(undefined);
      const fetching = this.fetchOne(file, room, onSized).then((one) => {
        if (one) collected.set(file.name, one);
        this.running.delete(fetching);
        onSized();
      });
      this.running.add(fetching);
      await sized;
    }
    await Promise.all(this.running);
    room.settle();
    return this.offered.flatMap(({ name }) => collected.get(name) ?? []);
  }

  /** Waits for fetches that still run, for which the signal must be aborted. What was fetched is to be disposed of before. */
  async close(): Promise<void> {
    await Promise.all(this.running);
  }

  /** The last of it: what was fetched has to be disposed of. */
  giveBack(): void {
    this.room?.close();
  }

  private async fetchOne(
    file: OfferedFile,
    room: SharedRoom,
    onSized: () => void,
  ): Promise<CollectedFile | undefined> {
    const { name } = file;
    try {
      const reservation = room.reserve();
      const spooled = await this.options.fetch(file, this.tenant, this.signal, { reservation, onSized });
      const { sizeBytes } = spooled;
      return { name, sizeBytes, file: this.fetched.keep(file, spooled) };
    } catch (error) {
      if (error instanceof DoesNotFit) return { name, sizeBytes: error.sizeBytes, file: undefined };
      this.fetched.fail(file, error);
      return undefined;
    }
  }
}
