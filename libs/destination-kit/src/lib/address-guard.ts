import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { connect as connectSocket, isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { isAllowed, isPublic, sameAddress } from './address-policy.js';
import type { AllowedAddress } from './address-policy.js';
import { DestinationError } from './destination-error.js';

export type GuardedScheme = 'http' | 'https' | 'sftp' | 'smtp';

/** Where somebody else asks us to connect to. */
export interface Endpoint {
  readonly scheme: GuardedScheme;
  /** Host name or address, as the tenant wrote it. */
  readonly host: string;
  readonly port: number;
}

export interface ConnectOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface AddressGuardOptions {
  /** `OUTBOUND_ALLOWED_ADDRESSES`, parsed. */
  readonly allowed: readonly AllowedAddress[];
  /** Origins of the hub itself: refused even where an address of theirs is allowed. */
  readonly ownOrigins?: readonly string[];
  /** Every address of a host. Replaced in tests. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** Of the 5 s that the gateway waits for an answer. */
const REFUSAL_WITHIN_MS = 2_000;

/** Ports that need no entry in the allow-list. Source: architecture, section 7. */
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);

/**
 * Keeps outbound connections away from what only we can reach.
 *
 * A host is resolved once, each of its addresses is judged, and the socket is opened to a
 * judged address itself: a name that resolves differently a moment later gains nothing. The
 * same judgement serves the dispatcher when an integration is created.
 *
 * Refusals name the host as the tenant wrote it and no address: the answer must not serve
 * to explore our DNS.
 */
export class AddressGuard {
  private readonly own: readonly { host: string; port: number }[];
  private readonly resolve: (host: string) => Promise<readonly string[]>;

  constructor(private readonly options: AddressGuardOptions) {
    this.own = (options.ownOrigins ?? []).map((origin) => {
      const url = new URL(origin);
      return { host: bareHost(url.hostname), port: portOf(url) };
    });
    this.resolve = options.resolve ?? resolveAll;
  }

  /** For the creation of an integration: the reason to refuse, undefined when there is none or DNS does not answer. */
  async refusal(endpoint: Endpoint): Promise<string | undefined> {
    const tooSlow = new AbortController();
    try {
      // Whoever creates waits for it, and what DNS says is looked at again at each connection.
      await Promise.race([
        this.addressesOf(endpoint),
        delay(REFUSAL_WITHIN_MS, undefined, { signal: tooSlow.signal }),
      ]);
      return undefined;
    } catch (error) {
      if (error instanceof DestinationError && error.code === 'ADDRESS_REFUSED') return error.message;
      return undefined;
    } finally {
      tooSlow.abort();
    }
  }

  /**
   * Opens a socket to a judged address.
   *
   * @throws {DestinationError} `ADDRESS_REFUSED`, `UNAVAILABLE` (no address, refused, unreachable) or `TIMEOUT`.
   */
  async connect(endpoint: Endpoint, { timeoutMs, signal }: ConnectOptions): Promise<Socket> {
    const place = placeOf(endpoint);
    const giveUpAt = performance.now() + timeoutMs;
    const addresses = await withDeadline(this.addressesOf(endpoint), timeoutMs, signal, place);

    let failure: unknown;
    for (const [index, address] of addresses.entries()) {
      const remainingMs = Math.max(1, giveUpAt - performance.now());
      try {
        return await open(address, endpoint, remainingMs / (addresses.length - index), signal);
      } catch (error) {
        failure = error;
        if (signal?.aborted === true) break;
      }
    }
    throw failure instanceof DestinationError
      ? failure
      : new DestinationError('UNAVAILABLE', place, { cause: failure });
  }

  /** Scheme, user-info and port of a URL that somebody else wrote. Nothing is resolved. */
  parseUrl(text: string): URL {
    // Links of recipe documents are often protocol-relative. Source: wire/drive.md 2.2.
    const url = URL.parse(text.startsWith('//') ? `https:${text}` : text);
    if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
      throw new DestinationError('ADDRESS_REFUSED', 'fetching a file: its address is not an http(s) URL');
    }
    if (url.username !== '' || url.password !== '') {
      throw new DestinationError(
        'ADDRESS_REFUSED',
        `fetching from ${url.hostname}: addresses with user names are refused`,
      );
    }
    return url;
  }

  private async addressesOf(endpoint: Endpoint): Promise<readonly string[]> {
    const { scheme, port } = endpoint;
    const host = bareHost(endpoint.host);
    const place = placeOf(endpoint);
    if (this.own.some((own) => own.host === host && own.port === port)) throw ownRefusal(place);

    let addresses: readonly string[];
    try {
      addresses = isIP(host) === 0 ? await this.resolve(host) : [host];
    } catch (error) {
      throw new DestinationError('UNAVAILABLE', `${place}: the host name cannot be resolved`, {
        cause: error,
      });
    }
    if (addresses.length === 0) {
      throw new DestinationError('UNAVAILABLE', `${place}: the host name cannot be resolved`);
    }

    const reasons: string[] = [];
    const permitted: string[] = [];
    for (const address of addresses) {
      const reason = await this.judge(address, scheme, port);
      if (reason === undefined) permitted.push(address);
      else reasons.push(reason);
    }
    if (permitted.length === 0) {
      throw new DestinationError('ADDRESS_REFUSED', `${place}: ${reasons[0] ?? 'refused'}`);
    }
    return permitted;
  }

  private async judge(address: string, scheme: GuardedScheme, port: number): Promise<string | undefined> {
    if (!isPublic(address) && (await this.isOwn(address, port))) return 'the hub does not connect to itself';
    if (isAllowed(address, port, this.options.allowed)) return undefined;
    if (!isPublic(address)) return 'private and local addresses are refused unless they are allowed';
    if (scheme === 'http') return 'http is refused unless the address is allowed, use https';
    if (scheme === 'https' && !WEB_PORTS.has(port)) return 'this port is refused unless it is allowed';
    return undefined;
  }

  /** For public addresses the name decides: one address of a CDN serves many. */
  private async isOwn(address: string, port: number): Promise<boolean> {
    for (const own of this.own) {
      if (own.port !== port) continue;
      const addresses = isIP(own.host) === 0 ? await this.resolve(own.host).catch(() => []) : [own.host];
      if (addresses.some((candidate) => sameAddress(candidate, address))) return true;
    }
    return false;
  }
}

async function resolveAll(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, order: 'ipv4first' })).map(({ address }) => address);
}

function open(
  address: string,
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  const place = placeOf(endpoint);
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: address, port: endpoint.port, noDelay: true });
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener('connect', onConnect);
      socket.removeListener('error', settle);
      if (error === undefined) {
        resolve(socket);
        return;
      }
      // A late error of a socket that nobody holds must not end the process.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onConnect = (): void => {
      const { remoteAddress } = socket;
      if (remoteAddress !== undefined && sameAddress(remoteAddress, address)) settle();
      else settle(new DestinationError('ADDRESS_REFUSED', `${place}: connected to another address`));
    };
    const onAbort = (): void => settle(new DestinationError('TIMEOUT', `${place}: aborted`));
    const timer = setTimeout(() => settle(new DestinationError('TIMEOUT', `${place}: no answer`)), timeoutMs);
    socket.once('connect', onConnect);
    socket.once('error', settle);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

async function withDeadline<T>(
  work: Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  place: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new DestinationError('TIMEOUT', `${place}: no answer`)), timeoutMs);
        onAbort = () => reject(new DestinationError('TIMEOUT', `${place}: aborted`));
        if (signal?.aborted === true) onAbort();
        else signal?.addEventListener('abort', onAbort, { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
    if (onAbort) signal?.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
  }
}

function placeOf({ host, port }: Endpoint): string {
  return `connecting to ${host}:${port}`;
}

function ownRefusal(place: string): DestinationError {
  return new DestinationError('ADDRESS_REFUSED', `${place}: the hub does not connect to itself`);
}

function bareHost(host: string): string {
  return host
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
}

/** The port of a URL, with the default of its scheme. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'http:' ? 80 : 443;
}
