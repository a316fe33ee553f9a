import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Receipt, S3Settings } from '@heddle/contracts';
import { DestinationError, sideBySide } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, DeliveryFile, Destination } from '@heddle/destination-kit';

import { uploadInParts } from './multipart-upload.js';
import { PartBuffers } from './part-buffers.js';
import type { FoundObject, S3Client, S3ClientsOf, Written } from './s3.client.js';
import { isConflict, isCut, isDenied, isMissing, isTaken, toDestinationError } from './s3.error.js';

type S3Delivery = Delivery<S3Settings>;

/** Larger files go in parts. */
export const MAX_PUT_BYTES = 8 * 1024 * 1024;
/** The smallest that there is, but for the last one. Source: as of `MAX_PARTS`. */
export const PART_BYTES = 5 * 1024 * 1024;
/** Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MAX_PARTS = 10_000;
/** Buffers for parts, of all attempts of this process together: 30 MiB. */
const PART_BUFFERS = 6;
/** Files of one attempt that are sent side by side. */
const FILES_AT_ONCE = 4;
/** Tries within one attempt, where another writer was at the same key or a kept connection was dead. */
const TRIES = 4;
const CONFLICT_WAIT_MS = 100;

/** Names under which an object says what wrote it. */
const METADATA = { deliveryId: 'heddle-delivery-id', sha256: 'heddle-sha256' } as const;

/**
 * Of an object that came in one piece and is not encrypted with keys of its own.
 *
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
 */
const MD5_ETAG = /^"?([0-9a-f]{32})"?$/;

/** One file on its way to one key. */
interface Writing {
  readonly client: S3Client;
  readonly key: string;
  readonly location: string;
  readonly file: DeliveryFile;
  readonly delivery: S3Delivery;
  readonly context: DeliveryContext;
}

/**
 * Writes the files of a delivery as objects of one bucket.
 *
 * The key is prefix plus file name, and the name follows from order and recipe: a repeated attempt replaces its own
 * object with equal bytes. S3 shows an object whole or not at all, so nothing stands under a temporary name; what a
 * killed worker leaves of an upload in parts is invisible, and the bucket's lifecycle rule removes it.
 *
 * Writing is the only right that it needs. With `overwrite: false` a taken name is read where that is allowed.
 */
export class S3Destination implements Destination<S3Settings> {
  readonly kind = 's3';

  private readonly buffers = new PartBuffers(PART_BYTES, PART_BUFFERS);

  constructor(private readonly clients: S3ClientsOf) {}

  async *deliver(delivery: S3Delivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    try {
      yield* sideBySide(delivery.files, FILES_AT_ONCE, (file) => this.put(file, delivery, context));
    } catch (error) {
      throw toDestinationError(error, 'delivering the file set');
    }
  }

  close(): Promise<void> {
    this.clients.close();
    return Promise.resolve();
  }

  private async put(file: DeliveryFile, delivery: S3Delivery, context: DeliveryContext): Promise<Receipt> {
    const { settings, channel, integrationId } = delivery;
    const key = objectKey(settings.prefix, channel, file.name);
    const location = `s3://${settings.bucket}/${key}`;
    const { name, sizeBytes, sha256 } = file;
    if (sizeBytes > PART_BYTES * MAX_PARTS) throw new DestinationError('TOO_LARGE', `writing ${location}`);
    try {
      const client = this.clients.of(integrationId, settings);
      if (!settings.overwrite) await context.begin(file);
      const details = await this.write({ client, key, location, file, delivery, context });
      return { name, location, sizeBytes, sha256, details };
    } catch (error) {
      if (context.signal.aborted) throw context.signal.reason;
      throw toDestinationError(error, `writing ${location}`);
    }
  }

  private async write(writing: Writing): Promise<Record<string, string>> {
    const { file, delivery, context } = writing;
    let isBegun = file.isBegun === true;
    for (let tries = 1; ; tries += 1) {
      try {
        return detailsOf(await this.send(writing), 'write');
      } catch (error) {
        context.signal.throwIfAborted();
        if (!delivery.settings.overwrite && isTaken(error)) return await judgeTaken(writing, isBegun);
        if (tries >= TRIES) throw error;
        if (isConflict(error)) {
          await delay(CONFLICT_WAIT_MS * 2 ** tries, undefined, { signal: context.signal });
        } else if (isCut(error) && tries === 1) {
          // The whole file again leaves the same result.
          isBegun = true;
        } else throw error;
      }
    }
  }

  private async send({ client, key, file, delivery, context }: Writing): Promise<Written> {
    const { mimeType, sizeBytes, sha256 } = file;
    const head = {
      key,
      mimeType,
      metadata: { [METADATA.deliveryId]: delivery.deliveryId, [METADATA.sha256]: sha256 },
    };
    const createOnly = !delivery.settings.overwrite;
    const assertLeased = (): void => context.assertLeased();
    if (sizeBytes > MAX_PUT_BYTES) {
      const options = { createOnly, beforeCompletion: assertLeased };
      return await uploadInParts(client, this.buffers, head, file.open(), options, context.signal);
    }
    assertLeased();
    const inBase64 = Buffer.from(sha256, 'hex').toString('base64');
    const body = file.bytes
      ? { bytes: file.bytes, sha256: inBase64 }
      : { bytes: beforeTheLast(file.open(), sizeBytes, assertLeased), sizeBytes, sha256: inBase64 };
    return await client.put(head, body, { createOnly, beforeSending: assertLeased }, context.signal);
  }
}

/**
 * A name that is taken is a success where the same bytes stand there: an earlier attempt put them there and its answer
 * was lost, or somebody else did. Where nobody may look, it is one only if this delivery had begun to write them.
 *
 * Source: wire/drive.md 3.4.
 */
async function judgeTaken(writing: Writing, isBegun: boolean): Promise<Record<string, string>> {
  const { client, key, location, file, context } = writing;
  let found: FoundObject;
  try {
    found = await client.find(key, context.signal);
  } catch (error) {
    if (isMissing(error))
      throw new DestinationError('UNAVAILABLE', `writing ${location}: the name was taken for a moment`);
    if (!isDenied(error)) throw toDestinationError(error, `reading ${location}: the name is taken`);
    if (isBegun) return { placedBy: 'an earlier attempt' };
    throw new DestinationError('ALREADY_EXISTS', `writing ${location}: the name is taken`, { cause: error });
  }
  if (await holds(found, file)) return detailsOf(found, 'found');
  throw new DestinationError('ALREADY_EXISTS', `writing ${location}: the name is taken by other bytes`);
}

/**
 * Of an object that came in parts, or from somebody who sent none, the store knows no SHA-256 of the whole: then ours
 * counts, which its writer left, or the ETag where it is the MD5 of the bytes.
 */
async function holds(
  { etag, sizeBytes, sha256, metadata }: FoundObject,
  file: DeliveryFile,
): Promise<boolean> {
  if (sizeBytes !== file.sizeBytes) return false;
  const isOfTheWhole = sha256 !== undefined && !sha256.includes('-');
  if (isOfTheWhole) return Buffer.from(sha256, 'base64').toString('hex') === file.sha256;
  if (metadata[METADATA.sha256] === file.sha256) return true;
  const md5 = MD5_ETAG.exec(etag ?? '')?.[1];
  return md5 !== undefined && md5 === (await md5Of(file));
}

async function md5Of(file: DeliveryFile): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of file.open()) hash.update(chunk);
  return hash.digest('hex');
}

function detailsOf({ etag, versionId }: Written, placedBy: string): Record<string, string> {
  return {
    placedBy,
    ...(etag !== undefined && { etag: etag.replaceAll('"', '') }),
    ...(versionId !== undefined && { versionId }),
  };
}

/** The store shows the object when its last byte has come: that one waits for the check. */
async function* beforeTheLast(
  bytes: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  check: () => void,
): AsyncGenerator<Uint8Array, void> {
  let left = sizeBytes;
  for await (const chunk of bytes) {
    left -= chunk.length;
    if (left <= 0) check();
    yield chunk;
  }
}

export function objectKey(prefix: string, channel: string, name: string): string {
  const levels = prefix.replaceAll('{channel}', channel).split('/');
  return [...levels.filter((level) => level !== ''), name].join('/');
}
