import { request as requestHttp } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

import { guardedAgents } from '@heddle/destination-kit';
import type { AddressGuard, GuardedAgents } from '@heddle/destination-kit';

import { HookSilence, StaleConnection } from './hook.client.js';
import type { HookAnswer, HookCall, HookClient } from './hook.client.js';

export interface NodeHookOptions {
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  /** From the call to the head of its answer, connecting included. */
  readonly answerTimeoutMs: number;
}

/** A connection without calls is closed after so long, or sooner where the server says so. */
const IDLE_MS = 15_000;
/** Calls come in bursts, and most hooks stand on one host. */
const IDLE_CONNECTIONS_PER_HOST = 256;
/** What is read of a body that nobody looks at, so that its connection can be used again. */
const MAX_BODY_BYTES = 65_536;
const BODY_MS = 5_000;

/** `node:http` through the guard. Connections are kept by host. */
export class NodeHookClient implements HookClient {
  private readonly agents: GuardedAgents;

  constructor(private readonly options: NodeHookOptions) {
    const { guard, connectTimeoutMs } = options;
    this.agents = guardedAgents(guard, {
      connectTimeoutMs,
      keepAlive: true,
      maxFreeSockets: IDLE_CONNECTIONS_PER_HOST,
      timeout: IDLE_MS,
    });
  }

  post({ url, headers, body }: HookCall, signal: AbortSignal): Promise<HookAnswer> {
    const isHttps = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (isHttps ? requestHttps : requestHttp)(url, {
        method: 'POST',
        agent: isHttps ? this.agents.https : this.agents.http,
        headers: { ...headers, 'content-length': String(body.byteLength) },
        signal,
      });
      const timer = setTimeout(() => request.destroy(new HookSilence()), this.options.answerTimeoutMs);
      request.once('response', (response) => {
        clearTimeout(timer);
        drain(response);
        resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] });
      });
      // Also after the answer: what happens to the connection then is nobody's failure.
      request.on('error', (error) => {
        clearTimeout(timer);
        reject(isStale(request, error) ? new StaleConnection() : error);
      });
      request.end(body);
    });
  }

  close(): void {
    this.agents.destroy();
  }
}

function isStale(request: ClientRequest, error: Error): boolean {
  return request.reusedSocket && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

/** A body without an end must not hold its connection. */
function drain(response: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => response.destroy(), BODY_MS);
  timer.unref();
  response.on('error', () => undefined);
  response.once('close', () => clearTimeout(timer));
  response.on('data', (chunk: Uint8Array) => {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) response.destroy();
  });
}
