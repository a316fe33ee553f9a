import type { FileFault, OfferedFile } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { DeliveryFile } from '@heddle/destination-kit';

import { HubAway } from './hub-away.js';
import type { SpooledFile } from './spool.js';

/** What has become of the files of one attempt: their bytes, or why there are none. */
export class FetchedFiles {
  private readonly spooled = new Map<string, SpooledFile>();
  private readonly faultOf = new Map<string, DestinationError>();

  constructor(private readonly offered: readonly OfferedFile[]) {}

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

  keep({ name, mimeType, begun }: OfferedFile, spooled: SpooledFile): DeliveryFile {
    this.spooled.set(name, spooled);
    const { sizeBytes, sha256, bytes } = spooled;
    const isBegun = begun?.includes(sha256) === true;
    const held = bytes && { bytes };
    return { name, mimeType, sizeBytes, sha256, isBegun, ...held, open: () => spooled.open() };
  }

  fail({ name }: OfferedFile, error: unknown): void {
    const fault =
      error instanceof DestinationError
        ? error
        : new DestinationError('UNKNOWN', `fetching ${name}`, { cause: error });
    this.faultOf.set(name, fault);
  }

  /** The destination has the file: its bytes may go. */
  async delivered(name: string): Promise<void> {
    const spooled = this.spooled.get(name);
    this.spooled.delete(name);
    await spooled?.dispose();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.spooled.values()].map((file) => file.dispose()));
  }
}
