import type { OfferedFile } from '@heddle/contracts';

import type { FetchedFiles } from './fetched-files.js';
import { FileFeed } from './file-feed.js';
import type { FetchRoom } from './source-fetcher.js';
import type { SpooledFile } from './spool.js';

/** Fetches of one attempt that run side by side. */
export const FETCHES = 4;
/** Files that are fetched or wait for the destination; more would only fill the spool. */
const FILES_AHEAD = 8;

export type FetchFile = (
  file: OfferedFile,
  tenant: string,
  signal: AbortSignal,
  room?: FetchRoom,
) => Promise<SpooledFile>;

/** The files of one attempt on their way from their sources, through the spool, to the destination. */
export class FileSet {
  readonly files: FileFeed;
  private readonly ended = Promise.withResolvers<undefined>();
  private next = 0;
  private fetching = 0;

  constructor(
    private readonly tenant: string,
    private readonly offered: readonly OfferedFile[],
    private readonly fetched: FetchedFiles,
    private readonly fetch: FetchFile,
    private readonly signal: AbortSignal,
  ) {
    this.files = new FileFeed(() => this.pump());
    signal.addEventListener('abort', () => this.pump(), { once: true });
    this.pump();
  }

  /** Waits for fetches that still run. The signal must be aborted or the feed ended. */
  async close(): Promise<void> {
    await this.ended.promise;
  }

  private pump(): void {
    const { offered } = this;
    while (
      !this.signal.aborted &&
      this.next < offered.length &&
      this.fetching < FETCHES &&
      this.fetching + this.files.waiting < FILES_AHEAD
    ) {
      const file = offered[this.next];
      this.next += 1;
      if (file) void this.fetchOne(file);
    }
    if (this.fetching === 0 && (this.next >= offered.length || this.signal.aborted)) {
      this.files.end();
      this.ended.resolve(undefined);
    }
  }

  private async fetchOne(file: OfferedFile): Promise<void> {
    this.fetching += 1;
    try {
      this.files.push(this.fetched.keep(file, await this.fetch(file, this.tenant, this.signal)));
    } catch (error) {
      this.fetched.fail(file, error);
    } finally {
      this.fetching -= 1;
      this.pump();
    }
  }
}
