import { request as requestHttp } from 'node:http';
import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

import type { AddressGuard } from './address-guard.js';
import { DestinationError } from './destination-error.js';
import { guardedAgents } from './guarded-agents.js';
import type { GuardedAgents } from './guarded-agents.js';

export interface SourceRequest {
  readonly agent: Agent;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is being done, in the present participle: begins the message of an error. */
  readonly place: string;
  readonly signal: AbortSignal;
  /** Longest wait for the head of the answer. */
  readonly timeoutMs: number;
}

/**
 * Asks a source of files. Its errors never name the address, which may carry somebody's signature.
 *
 * @throws {DestinationError} as `sourceError`.
 */
export async function requestSource(url: URL, request: SourceRequest): Promise<IncomingMessage> {
  const { agent, headers, place, signal, timeoutMs } = request;
  const send = (): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const sent: ClientRequest = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
        agent,
        signal,
        headers: { 'user-agent': 'Heddle', accept: '*/*', 'accept-encoding': 'identity', ...headers },
      });
      const timer = setTimeout(
        () => sent.destroy(sourceUnavailable(place, 'the source does not answer')),
        timeoutMs,
      );
      sent.once('response', (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      sent.once('error', (error) => {
        clearTimeout(timer);
        reject(isStale(sent, error) ? new StaleConnection() : error);
      });
      sent.end();
    });
  try {
    // A kept connection may have been closed by the server just now: the second try takes a fresh one.
    return await send().catch((error: unknown) => {
      if (error instanceof StaleConnection) return send();
      throw error;
    });
  } catch (error) {
    throw sourceError(error, place);
  }
}

/** Files that somebody else serves: every connection through the guard, redirects not followed. */
export class UrlSources {
  private readonly agents: GuardedAgents;

  constructor(
    private readonly options: {
      readonly guard: AddressGuard;
      readonly connectTimeoutMs: number;
      readonly silenceTimeoutMs: number;
    },
  ) {
    this.agents = guardedAgents(options.guard, {
      connectTimeoutMs: options.connectTimeoutMs,
      keepAlive: true,
      maxFreeSockets: 16,
      timeout: 30_000,
    });
  }

  /**
   * The answer, which is 200 and in no encoding of its own. The caller reads it or destroys it.
   *
   * @throws {DestinationError} `SOURCE_UNAVAILABLE` or `ADDRESS_REFUSED`.
   */
  async get(address: string, place: string, signal: AbortSignal): Promise<IncomingMessage> {
    return expectFile(await this.ask(address, { place, signal }), place);
  }

  /**
   * Whether `get` would find something now. Asks for the first byte: an address that is signed for GET refuses a HEAD.
   *
   * @throws {DestinationError} as `get`.
   */
  async probe(address: string, place: string, signal: AbortSignal): Promise<void> {
    const response = await this.ask(address, { place, signal, headers: { range: 'bytes=0-0' } });
    const { statusCode, headers } = response;
    const isPart = statusCode === 206 && headers['content-length'] === '1';
    const isEmpty = statusCode === 416 && headers['content-range'] === 'bytes */0';
    if (isPart) response.resume();
    else response.destroy();
    if (statusCode !== 206 && !isEmpty) expectFile(response, place);
  }

  private async ask(
    address: string,
    request: Pick<SourceRequest, 'place' | 'signal' | 'headers'>,
  ): Promise<IncomingMessage> {
    const { guard, connectTimeoutMs, silenceTimeoutMs } = this.options;
    const url = parsed(guard, address, request.place);
    const agent = url.protocol === 'https:' ? this.agents.https : this.agents.http;
    return await requestSource(url, { ...request, agent, timeoutMs: connectTimeoutMs + silenceTimeoutMs });
  }

  close(): void {
    this.agents.destroy();
  }
}

/** @throws {DestinationError} `SOURCE_UNAVAILABLE` for any answer but the bytes themselves. */
export function expectFile(response: IncomingMessage, place: string): IncomingMessage {
  const { statusCode = 0, headers } = response;
  const isPlain = (headers['content-encoding'] ?? 'identity') === 'identity';
  if (statusCode === 200 && isPlain) return response;
  response.destroy();
  if (statusCode === 200) throw sourceUnavailable(place, 'the source answered in an encoding of its own');
  const redirect = statusCode >= 300 && statusCode < 400;
  throw sourceUnavailable(
    place,
    `the source answered ${statusCode}${redirect ? ', redirects are not followed' : ''}`,
  );
}

/** The guard does not know for what file it reads an address. */
function parsed(guard: AddressGuard, address: string, place: string): URL {
  try {
    return guard.parseUrl(address);
  } catch (error) {
    throw sourceError(error, place);
  }
}

class StaleConnection extends Error {}

function isStale(request: ClientRequest, error: Error): boolean {
  return request.reusedSocket && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

/** Whatever went wrong with a source, as a fault of that source. */
export function sourceError(error: unknown, place: string): DestinationError {
  if (!(error instanceof DestinationError)) {
    return new DestinationError('SOURCE_UNAVAILABLE', `${place}: the source cannot be read`, {
      cause: error,
    });
  }
  // The guard knows the host only; to the tenant it is the source that is away, not the target.
  if (error.code === 'ADDRESS_REFUSED') {
    return error.message.startsWith(place)
      ? error
      : new DestinationError('ADDRESS_REFUSED', `${place}: ${error.message}`, { cause: error.cause });
  }
  if (error.code === 'TIMEOUT' || error.code === 'UNAVAILABLE')
    return sourceUnavailable(place, error.message, error);
  return error;
}

export function sourceUnavailable(place: string, what: string, cause?: unknown): DestinationError {
  return new DestinationError('SOURCE_UNAVAILABLE', `${place}: ${what}`, { cause });
}
