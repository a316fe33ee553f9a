import type { FileFault, OfferedFile } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';

import { FileFeed } from './file-feed.js';
import { HubAway } from './hub-away.js';
import type { SpooledFile } from './spool.js';

/** Fetches of one attempt that run side by side. */
const FETCHES = 4;
/** Files that are fetched or wait for the destination; more would only fill the spool. */
const FILES_AHEAD = 8;

export type FetchFile = (file: OfferedFile, tenant: string, signal: AbortSignal) => Promise<SpooledFile>;

/** The files of one attempt on their way from their sources, through the spool, to the destination. */
export class FileSet {
  readonly files: FileFeed;
  private readonly ended = Promise.withResolvers<undefined>();
  private readonly spooled = new Map<string, SpooledFile>();
  private readonly faultOf = new Map<string, DestinationError>();
  private next = 0;
  private fetching = 0;

  constructor(
    private readonly tenant: string,
    private readonly offered: readonly OfferedFile[],
    private readonly fetch: FetchFile,
    private readonly signal: AbortSignal,
  ) {
    this.files = new FileFeed(() => this.pump());
    signal.addEventListener('abort', () => this.pump(), { once: true });
    this.pump();
  }

  /** In the order of the offer. */
  get faults(): readonly FileFault[] {
    return this.offered.flatMap(({ name }) => {
      const fault = this.faultOf.get(name);
      return fault ? [{ name, code: fault.code, message: fault.message }] : [];
    });
  }

  /** A file of the hub's own was still waited for when the attempt was stopped. */
  get isHubAway(): boolean {
    return [...this.faultOf.values()].some((fault) => fault instanceof HubAway);
  }

  /** The destination has the file: its bytes may go. */
  async delivered(name: string): Promise<void> {
    await this.spooled.get(name)?.dispose();
  }

  /** Waits for fetches that still run, then gives all room back. The signal must be aborted or the feed ended. */
  async close(): Promise<void> {
    await this.ended.promise;
    await Promise.all([...this.spooled.values()].map((file) => file.dispose()));
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
      const spooled = await this.fetch(file, this.tenant, this.signal);
      this.spooled.set(file.name, spooled);
      const { name, mimeType } = file;
      const { sizeBytes, sha256 } = spooled;
      const isBegun = file.begun?.includes(sha256) === true;
      this.files.push({
        name,
        mimeType,
        sizeBytes,
        sha256,
        isBegun,
        open: () => spooled.open(),
        release: () => spooled.dispose(),
      });
    } catch (error) {
      this.faultOf.set(
        file.name,
        error instanceof DestinationError
          ? error
          : new DestinationError('UNKNOWN', `fetching ${file.name}`, { cause: error }),
      );
    } finally {
      this.fetching -= 1;
      this.pump();
    }
  }
}
