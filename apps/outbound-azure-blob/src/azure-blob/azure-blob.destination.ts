import { createHash } from 'node:crypto';

import type { AzureBlobSettings, Receipt } from '@heddle/contracts';
import { DestinationError, sideBySide } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, DeliveryFile, Destination } from '@heddle/destination-kit';

import type { BlobContainer, BlobContainers, FoundBlob } from './azure-blob.client.js';
import { isDenied, isOvertaken, isTaken, toDestinationError } from './azure-blob.error.js';
import { ReadAhead, stageBlocks } from './blocks.js';

type AzureBlobDelivery = Delivery<AzureBlobSettings>;

/** Files of one attempt that are sent side by side. */
const FILES_AT_ONCE = 3;
/** Somebody else who commits under the same name takes the staged blocks away. */
const WRITE_TRIES = 3;

/**
 * Writes the files of a delivery as block blobs of one container.
 *
 * The blocks of a file are seen by nobody; committing their list shows the blob whole, in the place of what stood
 * there. Names follow from order and recipe, and the ids of blocks from the bytes, so a repeated attempt, or two at
 * the same time, leave one blob with equal bytes. Only the right to write is needed. Blocks that were never
 * committed cannot be removed with it: the service drops them after a week.
 */
export class AzureBlobDestination implements Destination<AzureBlobSettings> {
  readonly kind = 'azure-blob';
  private readonly readAhead = new ReadAhead();

  constructor(private readonly containers: BlobContainers) {}

  async *deliver(delivery: AzureBlobDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    try {
      yield* sideBySide(delivery.files, FILES_AT_ONCE, (file) => this.put(file, delivery, context));
    } catch (error) {
      throw toDestinationError(error, 'delivering the file set');
    }
  }

  async close(): Promise<void> {
    await this.containers.close();
  }

  private async put(
    file: DeliveryFile,
    { settings, channel, integrationId }: AzureBlobDelivery,
    context: DeliveryContext,
  ): Promise<Receipt> {
    const blobName = blobNameOf(settings.prefix, channel, file.name);
    let place = `writing ${file.name}`;
    for (let tries = 1; ; tries += 1) {
      try {
        const container = this.containers.of(integrationId, settings);
        const location = `${container.address}/${blobName.split('/').map(encodeURIComponent).join('/')}`;
        place = `writing ${location}`;
        const blob = new Upload(container, blobName, file, context, this.readAhead);
        const details = settings.overwrite ? await blob.replace() : await blob.create(place);
        const { name, sizeBytes, sha256 } = file;
        return { name, location, sizeBytes, sha256, details };
      } catch (error) {
        if (context.signal.aborted) throw context.signal.reason;
        if (isOvertaken(error) && tries < WRITE_TRIES) continue;
        throw toDestinationError(error, place);
      }
    }
  }
}

/** One file on its way to one blob. */
class Upload {
  /** Known once its bytes were read. */
  private md5: Uint8Array | undefined;

  constructor(
    private readonly container: BlobContainer,
    private readonly blobName: string,
    private readonly file: DeliveryFile,
    private readonly context: DeliveryContext,
    private readonly readAhead: ReadAhead,
  ) {}

  async replace(): Promise<Record<string, string>> {
    return { etag: await this.write(false) };
  }

  /** Where the name is taken, the same bytes are a success. Source: wire/drive.md 3.4. */
  async create(place: string): Promise<Record<string, string>> {
    await this.context.begin(this.file);
    try {
      return { etag: await this.write(true) };
    } catch (error) {
      if (!isTaken(error)) throw error;
      if (await this.isSame()) return { found: 'the same bytes' };
      throw new DestinationError('ALREADY_EXISTS', `${place}: the name is taken, and overwrite is off`, {
        cause: error,
      });
    }
  }

  private async write(isCreateOnly: boolean): Promise<string> {
    const { container, blobName: name, file, context, readAhead } = this;
    const { signal } = context;
    const blockIds: string[] = [];
    this.md5 = await stageBlocks(
      file,
      async ({ index, bytes, md5: ofBlock }, either) => {
        const id = blockIdOf(file.sha256, index);
        blockIds.push(id);
        await container.stage(name, { id, bytes, md5: ofBlock }, either);
      },
      { readAhead, signal },
    );
    context.assertLeased();
    const { mimeType, sha256 } = file;
    return await container.commit({ name, blockIds, mimeType, md5: this.md5, sha256, isCreateOnly }, signal);
  }

  /** Asks for the hash; where reading is not allowed, what is on record decides. */
  private async isSame(): Promise<boolean> {
    const { container, blobName, file, context } = this;
    try {
      return this.isIn(await container.find(blobName, context.signal));
    } catch (error) {
      if (isDenied(error)) return file.isBegun === true;
      throw error;
    }
  }

  /** Somebody else's blob says nothing of SHA-256. */
  private isIn({ sizeBytes, md5, sha256 }: FoundBlob): boolean {
    if (sha256 === this.file.sha256) return true;
    if (md5 === undefined || this.md5 === undefined) return false;
    return sizeBytes === this.file.sizeBytes && Buffer.compare(md5, this.md5) === 0;
  }
}

/** Of one length, whatever the file. Equal bytes have equal ids, and a block of other bytes never has them. */
function blockIdOf(sha256: string, index: number): string {
  return createHash('sha256')
    .update(`${sha256}:${String(index)}`)
    .digest('base64');
}

/** Without doubled, leading and trailing slashes. */
export function blobNameOf(prefix: string, channel: string, fileName: string): string {
  const levels = prefix.replaceAll('{channel}', channel).split('/');
  return [...levels.filter((level) => level !== ''), fileName].join('/');
}
