import { Agent } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';

import type { OfferedFile } from '@heddle/contracts';
import {
  DestinationError,
  UrlSources,
  expectFile,
  requestSource,
  sourceError,
  sourceUnavailable,
} from '@heddle/destination-kit';
import type { AddressGuard } from '@heddle/destination-kit';
import { LRUCache } from 'lru-cache';

import { HubAway } from './hub-away.js';
import type { HubTokens } from './hub-tokens.js';
import { assertListed } from './listed-fault.js';
import { DoesNotFit } from './spool.js';
import type { Reservation, Spool, SpooledFile } from './spool.js';

export interface SourceFetcherOptions {
  readonly spool: Spool;
  readonly guard: AddressGuard;
  /** Internal address of the association store. */
  readonly storeUrl: string;
  readonly hubTokens: HubTokens;
  readonly maxFileBytes: number;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

/** Between the tries of a file of the hub itself while the hub's store is away. */
const FIRST_HUB_WAIT_MS = 200;
const LONGEST_HUB_WAIT_MS = 2_000;

/** What stood behind an address stands there for a while: of the same recipe there are many orders. */
const FOUND_KEPT_MS = 60_000;
/** In UTF-16 units of the addresses. */
const FOUND_KEPT_CHARACTERS = 4_000_000;

/** Where the bytes of one file are kept, if not anywhere in the spool. */
export interface FetchRoom {
  readonly reservation: Reservation;
  /** The file has all the room that it will need, though its bytes are still to come. */
  readonly onSized: () => void;
}

/** The room is full: the source is let go and asked again when there is some. */
class NoRoom {
  constructor(
    readonly bytes: number,
    /** Of the whole file; undefined where the source does not say it. */
    readonly sizeBytes: number | undefined,
  ) {}
}

/** The hub's own store does not answer, answers 5xx, or broke off. */
class NoStore {
  readonly isStoreAway = true;
}

/**
 * Fetches the files of an offer into the spool.
 *
 * Its errors name the file and never the address, which may carry somebody's signature.
 */
export class SourceFetcher {
  private readonly urls: UrlSources;
  private readonly hubAgent: Agent;
  private readonly store: URL;
  private readonly found = new LRUCache<string, true>({
    maxSize: FOUND_KEPT_CHARACTERS,
    sizeCalculation: (_, address) => address.length,
    ttl: FOUND_KEPT_MS,
  });

  constructor(private readonly options: SourceFetcherOptions) {
    this.store = new URL(options.storeUrl);
    const HubAgent = this.store.protocol === 'https:' ? HttpsAgent : Agent;
    this.hubAgent = new HubAgent({ keepAlive: true, maxFreeSockets: 16, timeout: 60_000 });
    this.urls = new UrlSources(options);
  }

  close(): void {
    this.urls.close();
    this.hubAgent.destroy();
  }

  /**
   * While the hub's own store is away it is waited for: that is our fault, and no attempt of a delivery is spent on it.
   *
   * @throws {DestinationError} `SOURCE_UNAVAILABLE`, `ADDRESS_REFUSED` or `TOO_LARGE`; when aborted {@link HubAway} while the store
   * is away, and else the signal's reason.
   * @throws {DoesNotFit} where there is not enough of its room.
   */
  async fetch(
    file: OfferedFile,
    tenant: string,
    signal: AbortSignal,
    room: FetchRoom = { reservation: this.options.spool.reserve(), onSized: () => undefined },
  ): Promise<SpooledFile> {
    const { reservation } = room;
    let isStoreAway = false;
    try {
      let hasWaitedForRoom = false;
      let hubWaitMs = FIRST_HUB_WAIT_MS;
      for (;;) {
        signal.throwIfAborted();
        const result = await this.fetchOnce(file, tenant, room, signal, hasWaitedForRoom);
        isStoreAway = result instanceof NoStore;
        if (result instanceof NoStore) {
          await delay(hubWaitMs, undefined, { signal });
          hubWaitMs = Math.min(hubWaitMs * 2, LONGEST_HUB_WAIT_MS);
        } else if (result instanceof NoRoom) {
          await reservation.hold(result.bytes, signal, result.sizeBytes);
          hasWaitedForRoom = true;
        } else return result;
      }
    } catch (error) {
      reservation.release();
      if (signal.aborted) throw isStoreAway ? new HubAway(file.name) : signal.reason;
      throw error;
    }
  }

  /**
   * For a file of which only a link goes out: that there is something behind it. What the hub holds itself is there.
   *
   * @throws {DestinationError} as `fetch`, for a file of somebody else.
   */
  async check({ source, name }: OfferedFile, signal: AbortSignal): Promise<void> {
    if (source.kind !== 'url') return;
    const place = `fetching ${name}`;
    assertListed(source, place);
    if (this.found.has(source.url)) return;
    await this.urls.probe(source.url, place, signal);
    this.found.set(source.url, true);
  }

  private async fetchOnce(
    file: OfferedFile,
    tenant: string,
    room: FetchRoom,
    signal: AbortSignal,
    isRepetition: boolean,
  ): Promise<SpooledFile | NoRoom | NoStore> {
    const { source, name } = file;
    if (source.kind === 'inline') {
      const { reservation } = room;
      const bytes = Buffer.from(source.text, 'utf8');
      await reservation.hold(bytes.length, signal, bytes.length);
      const writer = this.options.spool.writer(reservation);
      await writer.write(bytes);
      return writer.finish();
    }
    const place = `fetching ${name}`;
    if (source.kind === 'url') {
      assertListed(source, place);
      const response = await this.urls.get(source.url, place, signal);
      return this.receive(response, place, room, signal, isRepetition);
    }
    const response = await this.askHub(source.path, tenant, place, signal).catch(whileHubIsAway);
    if (response instanceof NoStore) return response;
    if ((response.statusCode ?? 0) >= 500) {
      response.destroy();
      return new NoStore();
    }
    const spooled = await this.receive(expectFile(response, place), place, room, signal, isRepetition).catch(
      whileHubIsAway,
    );
    if (spooled instanceof NoStore) return spooled;
    const { sha256 } = source;
    if (!(spooled instanceof NoRoom) && sha256 !== undefined && spooled.sha256 !== sha256) {
      await spooled.dispose();
      throw sourceUnavailable(place, 'the content is not the one that the event names');
    }
    return spooled;
  }

  private async askHub(
    path: string,
    tenant: string,
    place: string,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = new URL(path, this.store);
    // `//elsewhere/x` is a path to zod and a host to a URL.
    if (url.origin !== this.store.origin) throw new DestinationError('ADDRESS_REFUSED', place);
    const token = await this.options.hubTokens.sign(tenant);
    const { connectTimeoutMs, silenceTimeoutMs } = this.options;
    return await requestSource(url, {
      agent: this.hubAgent,
      headers: { authorization: `Bearer ${token}` },
      place,
      signal,
      timeoutMs: connectTimeoutMs + silenceTimeoutMs,
    });
  }

  private async receive(
    response: IncomingMessage,
    place: string,
    { reservation, onSized }: FetchRoom,
    signal: AbortSignal,
    isRepetition: boolean,
  ): Promise<SpooledFile | NoRoom> {
    const { maxFileBytes, silenceTimeoutMs, spool } = this.options;
    const header = response.headers['content-length'];
    const length = header === undefined ? undefined : Number(header);
    const writer = spool.writer(reservation);
    let isWaitingForRoom = false;
    const silence = setTimeout(() => {
      if (isWaitingForRoom) silence.refresh();
      else response.destroy(sourceUnavailable(place, 'the source fell silent'));
    }, silenceTimeoutMs);
    try {
      if (length !== undefined && length > maxFileBytes) throw tooLarge(place, maxFileBytes);
      const needed = length ?? reservation.stepBytes;
      if (!reservation.tryHold(needed)) {
        // Once room was held, the source has grown: waiting again could go on for ever.
        if (isRepetition) throw sourceUnavailable(place, 'the source changed its size');
        return new NoRoom(needed, length);
      }
      if (length !== undefined) onSized();
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        const sizeBytes = writer.sizeBytes + chunk.length;
        if (sizeBytes > maxFileBytes) throw tooLarge(place, maxFileBytes);
        if (sizeBytes > reservation.heldBytes) {
          isWaitingForRoom = true;
          const bytes = Math.max(sizeBytes, reservation.heldBytes + reservation.stepBytes);
          await reservation.hold(bytes, signal, length);
          isWaitingForRoom = false;
        }
        await writer.write(chunk);
        silence.refresh();
      }
      if (length !== undefined && writer.sizeBytes !== length)
        throw sourceUnavailable(place, 'the source was cut short');
      return writer.finish();
    } catch (error) {
      await writer.discard();
      if (error instanceof DoesNotFit) throw error;
      throw sourceError(error, place);
    } finally {
      clearTimeout(silence);
      if (!response.complete) response.destroy();
    }
  }
}

function whileHubIsAway(error: unknown): NoStore {
  if (error instanceof DestinationError && error.code === 'SOURCE_UNAVAILABLE') return new NoStore();
  throw error;
}

function tooLarge(place: string, maxFileBytes: number): DestinationError {
  return new DestinationError('TOO_LARGE', `${place}: larger than ${maxFileBytes} bytes`);
}
