import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Lease, PartBuffers } from './part-buffers.js';
import type { ObjectHead, S3Client, Upload, UploadedPart, WriteOptions, Written } from './s3.client.js';
import { isCut } from './s3.error.js';

export interface MultipartOptions extends WriteOptions {
  /** Called right before the object becomes visible; may throw. */
  readonly beforeCompletion: () => void;
}

/** Parts of one file that are on their way side by side. */
const PARTS_AT_ONCE = 3;
/** Longest time to take back an upload that failed. */
const CLEANUP_MS = 1_000;

/**
 * Writes a large object in parts of one size. Each is collected and hashed first, so that the store checks it, and a
 * connection that dies costs one part and not the file. What fails is taken back: the parts of an upload that nobody
 * ends stay in the bucket unseen, and cost money.
 */
export async function uploadInParts(
  client: S3Client,
  buffers: PartBuffers,
  head: ObjectHead,
  bytes: AsyncIterable<Uint8Array>,
  { beforeCompletion, ...options }: MultipartOptions,
  signal: AbortSignal,
): Promise<Written> {
  const upload = { key: head.key, uploadId: await client.startUpload(head, signal) };
  const sending = new PartsInFlight(client, upload, signal);
  try {
    for await (const part of partsOf(bytes, buffers, sending.signal)) await sending.add(part);
    const parts = await sending.all();
    beforeCompletion();
    return await client.completeUpload(upload, parts, options, signal);
  } catch (error) {
    const failure = await sending.stop(error);
    await client.abortUpload(upload, AbortSignal.timeout(CLEANUP_MS)).catch(() => undefined);
    throw failure;
  }
}

interface Part extends Lease {
  readonly number: number;
  readonly bytes: Buffer;
}

/** Cuts the bytes into full parts and a last one. A part that is handed out is the taker's to release. */
async function* partsOf(
  bytes: AsyncIterable<Uint8Array>,
  buffers: PartBuffers,
  signal: AbortSignal,
): AsyncGenerator<Part, void> {
  let lease: Lease | undefined;
  let filled = 0;
  let number = 0;
  const part = (from: Lease): Part => ({ ...from, number: ++number, bytes: from.buffer.subarray(0, filled) });
  try {
    for await (const chunk of bytes) {
      for (let start = 0; start < chunk.length;) {
        signal.throwIfAborted();
        lease ??= await buffers.lease(signal);
        const taken = chunk.subarray(start, start + buffers.partBytes - filled);
        lease.buffer.set(taken, filled);
        filled += taken.length;
        start += taken.length;
        if (filled < buffers.partBytes) continue;
        const full = part(lease);
        lease = undefined;
        filled = 0;
        yield full;
      }
    }
    if (lease === undefined) return;
    const last = part(lease);
    lease = undefined;
    yield last;
  } finally {
    lease?.release();
  }
}

class PartsInFlight {
  /** Ends with the attempt, and with the first part that fails: nothing more is begun. */
  readonly signal: AbortSignal;
  private readonly broken = new AbortController();
  private readonly cancelled = new AbortController();
  private readonly sending = new Set<Promise<void>>();
  private readonly uploaded: UploadedPart[] = [];
  private failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly client: S3Client,
    private readonly upload: Upload,
    private readonly attempt: AbortSignal,
  ) {
    this.signal = AbortSignal.any([attempt, this.broken.signal]);
  }

  /** Resolves when there is room for another part. */
  async add(part: Part): Promise<void> {
    const sent = this.send(part).finally(() => {
      part.release();
      this.sending.delete(sent);
    });
    this.sending.add(sent);
    while (this.sending.size >= PARTS_AT_ONCE) await Promise.race(this.sending);
  }

  async all(): Promise<readonly UploadedPart[]> {
    await Promise.all(this.sending);
    this.signal.throwIfAborted();
    return this.uploaded.toSorted((left, right) => left.number - right.number);
  }

  /**
   * No part may come after the upload is taken back: a store may still be keeping one whose request was cut. So those
   * under way may finish, for a moment.
   *
   * @returns what went wrong first
   */
  async stop(error: unknown): Promise<unknown> {
    const first = this.failure ? this.failure.error : error;
    const finished = Promise.all(this.sending);
    await Promise.race([finished, this.pause()]);
    this.cancelled.abort();
    await finished;
    return first;
  }

  private async pause(): Promise<void> {
    await delay(CLEANUP_MS, undefined, { signal: this.attempt }).catch(() => undefined);
  }

  private async send({ number, bytes }: Part): Promise<void> {
    const body = {
      bytes: again(bytes),
      sizeBytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('base64'),
    };
    try {
      this.uploaded.push(await this.put(number, body));
    } catch (error) {
      this.failure ??= { error };
      this.broken.abort();
    }
  }

  private async put(number: number, body: Parameters<S3Client['putPart']>[2]): Promise<UploadedPart> {
    const signal = AbortSignal.any([this.attempt, this.cancelled.signal]);
    const send = (): Promise<UploadedPart> => this.client.putPart(this.upload, number, body, signal);
    return await send().catch((error: unknown) => {
      if (!isCut(error) || this.signal.aborted) throw error;
      return send();
    });
  }
}

/** One chunk that may be read any number of times. */
function again(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const chunks = [bytes].values();
      return { next: () => Promise.resolve(chunks.next()) };
    },
  };
}
