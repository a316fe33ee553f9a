import type { Readable } from 'node:stream';

import { Pool, errors } from 'undici';
import type { Dispatcher } from 'undici';

import type { ServiceTokens } from '@heddle/access';
import type { Caller } from '@heddle/access';
import { ProblemError, childOf } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

/** Longest silence of a service. Source: wire/http.md says nothing; a client should not wait longer than for Kafka. */
const SILENCE_MS = 5_000;
const CONNECT_MS = 2_000;
const RETRY_AFTER_S = '5';
/** A token is good for a minute; signing one for every request would be most of the gateway's work on reads. */
const TOKEN_REUSED_MS = 20_000;

export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query, without a key. */
  readonly path: string;
  readonly caller: Caller;
  readonly requestId: string;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: Buffer | Readable | undefined;
  readonly silenceMs?: number;
}

/** A service behind the gateway. */
export class Upstream {
  private readonly pool: Pool;
  private readonly basePath: string;
  private readonly tokens = new WeakMap<
    Caller,
    { readonly token: Promise<string>; readonly signedAt: number }
  >();

  constructor(
    /** For people: `order store`. */
    private readonly name: string,
    baseUrl: string,
    private readonly signer: ServiceTokens,
    private readonly logger: Logger,
  ) {
    const { origin, pathname } = new URL(baseUrl);
    this.basePath = pathname.replace(/\/$/, '');
    this.pool = new Pool(origin, {
      connections: 64,
      pipelining: 1,
      connect: { timeout: CONNECT_MS },
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
    });
  }

  /** @throws {ProblemError} 503 with `Retry-After` while the service does not answer. */
  async call(request: UpstreamRequest): Promise<Dispatcher.ResponseData> {
    const token = await this.tokenOf(request.caller);
    const { traceparent } = request.headers ?? {};
    const send = (): Promise<Dispatcher.ResponseData> =>
      this.pool.request({
        method: request.method,
        path: this.basePath + request.path,
        headers: {
          ...request.headers,
          authorization: `Bearer ${token}`,
          'x-request-id': request.requestId,
          traceparent: childOf(typeof traceparent === 'string' ? traceparent : undefined),
        },
        body: request.body ?? null,
        ...(request.silenceMs === undefined
          ? {}
          : { headersTimeout: request.silenceMs, bodyTimeout: request.silenceMs }),
      });
    let answer: Dispatcher.ResponseData;
    try {
      answer = await send();
    } catch (error) {
      // A kept connection that the service closes at the same moment says nothing about the service.
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (!isRead || !(error instanceof errors.SocketError)) throw this.away(error);
      answer = await send().catch((second: unknown) => {
        throw this.away(second);
      });
    }
    if (answer.statusCode !== 401) return answer;
    await answer.body.dump();
    this.logger.error({ service_called: this.name }, 'upstream.token-refused');
    throw this.away(undefined);
  }

  /** The whole JSON answer. @throws {ProblemError} as `call`. */
  async json(answer: Dispatcher.ResponseData): Promise<unknown> {
    try {
      return await answer.body.json();
    } catch (error) {
      throw this.away(error);
    }
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  private away(cause: unknown): ProblemError {
    // Of a body that is passed on while it comes.
    if (cause instanceof ProblemError) return cause;
    return new ProblemError(503, `the ${this.name} does not answer, try again`, {
      headers: { 'retry-after': RETRY_AFTER_S },
      cause,
    });
  }

  private async tokenOf(caller: Caller): Promise<string> {
    const now = performance.now();
    const known = this.tokens.get(caller);
    if (known !== undefined && now - known.signedAt < TOKEN_REUSED_MS) return await known.token;
    const token = this.signer.sign(caller);
    this.tokens.set(caller, { token, signedAt: now });
    return await token;
  }
}

/** The services, by the name that owns their operations. */
export interface Upstreams {
  readonly 'association-store': Upstream;
  readonly dispatcher: Upstream;
}
export const UPSTREAMS = Symbol('Upstreams');
