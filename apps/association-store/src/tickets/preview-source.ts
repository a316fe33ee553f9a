import type { IncomingMessage } from 'node:http';

import { DestinationError } from '@heddle/destination-kit';
import type { UrlSources } from '@heddle/destination-kit';
import { imageTypeOf } from '@heddle/pick-ticket';
import { LRUCache } from 'lru-cache';

/** Longest time of all previews of a ticket together: without them it is a ticket all the same. */
export const PREVIEWS_WITHIN_MS = 8_000;
export const MAX_PREVIEW_BYTES = 4 * 1024 * 1024;
/** Of all previews of a ticket. */
export const MAX_PREVIEWS_BYTES = 12 * 1024 * 1024;
const AT_ONCE = 6;
/** A host that hangs is left alone for so long, so that it holds no other ticket up. */
const REST_MS = 30_000;

/** Images that others serve, for tickets. */
export class PreviewSource {
  private readonly resting = new LRUCache<string, true>({ max: 1_000, ttl: REST_MS });

  constructor(
    private readonly sources: Pick<UrlSources, 'get'>,
    private readonly withinMs: number = PREVIEWS_WITHIN_MS,
  ) {}

  /**
   * @param views for each view the addresses of its preview, best first.
   * @param maxBytes of all of them.
   * @returns for each view its image, null where none came: no reason of that stops a ticket.
   */
  async fetch(
    views: readonly (readonly string[])[],
    maxBytes = MAX_PREVIEWS_BYTES,
  ): Promise<readonly (Buffer | null)[]> {
    const images: (Buffer | null)[] = views.map(() => null);
    const room = { bytes: maxBytes };
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), this.withinMs);
    let next = 0;
    const fetchNext = async (): Promise<void> => {
      for (let at = next; at < views.length && !ending.signal.aborted; at = next) {
        next += 1;
        images[at] = await this.first(views[at] ?? [], room, ending.signal);
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, fetchNext));
      return images;
    } finally {
      clearTimeout(timer);
      ending.abort();
    }
  }

  private async first(
    addresses: readonly string[],
    room: { bytes: number },
    signal: AbortSignal,
  ): Promise<Buffer | null> {
    for (const address of addresses) {
      if (isOver(signal)) break;
      const host = URL.parse(address)?.host;
      if (host === undefined || this.resting.has(host)) continue;
      const askedAt = performance.now();
      try {
        const image = await read(await this.sources.get(address, 'fetching a preview', signal), room, signal);
        if (image !== null) return image;
      } catch (error) {
        // What was asked late had no time to answer, which says nothing about its host.
        const hangs = performance.now() - askedAt > this.withinMs / 2;
        if (isOver(signal) && hangs) this.resting.set(host, true);
        if (!(error instanceof DestinationError)) throw error;
      }
    }
    return null;
  }
}

/** A call, as the compiler takes what it has seen of a signal for what it still is. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Null: too large, or no image of a kind that a ticket shows. */
async function read(
  response: IncomingMessage,
  room: { bytes: number },
  signal: AbortSignal,
): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  const give = (): void => {
    response.destroy();
  };
  signal.addEventListener('abort', give, { once: true });
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      room.bytes -= chunk.length;
      if (size > MAX_PREVIEW_BYTES || room.bytes < 0) {
        room.bytes += size;
        return null;
      }
    }
    const image = Buffer.concat(chunks);
    if (imageTypeOf(image) !== undefined) return image;
    room.bytes += size;
    return null;
  } catch (error) {
    throw new DestinationError('SOURCE_UNAVAILABLE', 'fetching a preview: the source broke off', {
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', give);
    response.destroy();
  }
}
