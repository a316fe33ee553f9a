import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import type { Readable, TransformCallback } from 'node:stream';

import { ProblemError } from '@heddle/platform';

/** Hashes and counts what passes, and lets no more pass than may. */
export class ReceivedBytes extends Transform {
  private readonly hash = createHash('sha256');
  private received = 0;

  /** @param body stays open when this ends early: the answer to it goes out over the same connection. */
  constructor(
    body: Readable,
    private readonly maxBytes: number,
  ) {
    super();
    // A client may leave before anybody reads this; an error that nobody listens to would end the process.
    this.on('error', () => undefined);
    body.once('error', () => this.destroy(cutShort()));
    body.once('close', () => {
      if (!body.readableEnded) this.destroy(cutShort());
    });
    this.once('close', () => {
      // Whoever is still sending shall come to the end of it, and read why.
      if (!body.readableEnded) body.resume();
    });
    body.pipe(this);
  }

  get sizeBytes(): number {
    return this.received;
  }

  /** In hex; once all bytes have passed. */
  sha256(): string {
    return this.hash.digest('hex');
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.received += chunk.length;
    if (this.received > this.maxBytes) {
      done(tooLarge(this.maxBytes));
      return;
    }
    this.hash.update(chunk);
    done(null, chunk);
  }
}

export function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError(413, `a file may have at most ${String(maxBytes)} bytes`);
}

function cutShort(): ProblemError {
  return new ProblemError(400, 'the body was cut short');
}
