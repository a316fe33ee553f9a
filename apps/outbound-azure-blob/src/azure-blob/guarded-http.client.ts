import { request as requestHttp } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob';
import type { GuardedAgents } from '@heddle/destination-kit';

import { AzureFault } from './azure-blob.client.js';

/** Answers of the service are short: headers, and a few lines of XML for an error. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * How the SDK's requests go out: over sockets that the guard has opened, through no proxy of the environment, with
 * redirects as failures, and with silence as the only clock, so that a large block on a slow line has its time.
 */
export class GuardedHttpClient implements IHttpClient {
  constructor(
    private readonly agents: GuardedAgents,
    private readonly silenceTimeoutMs: number,
  ) {}

  sendRequest(request: WebResource): Promise<HttpOperationResponse> {
    return this.send(request, true);
  }

  private send(request: WebResource, mayRepeat: boolean): Promise<HttpOperationResponse> {
    const url = new URL(request.url);
    const isHttps = url.protocol === 'https:';
    const body = bytesOf(request.body);
    return new Promise((resolve, reject) => {
      const sent = (isHttps ? requestHttps : requestHttp)(url, {
        method: request.method,
        agent: isHttps ? this.agents.https : this.agents.http,
        timeout: this.silenceTimeoutMs,
        headers: {
          ...request.headers.rawHeaders(),
          'accept-encoding': 'identity',
          ...(request.method === 'HEAD' ? {} : { 'content-length': String(body.length) }),
        },
      });
      const { abortSignal } = request;
      const stop = (): void => void sent.destroy(new Error('aborted'));
      const ignoreAbort = (): void => abortSignal?.removeEventListener('abort', stop);
      sent.on('timeout', () => sent.destroy(new AzureFault('AZURE_SILENT')));
      sent.on('error', (error) => {
        ignoreAbort();
        if (mayRepeat && isStale(sent, error) && isRepeatable(request)) resolve(this.send(request, false));
        else reject(error);
      });
      sent.on('response', (response) => {
        const answer = answerOf(request, response).finally(ignoreAbort);
        answer.catch(() => sent.destroy());
        resolve(answer);
      });
      abortSignal?.addEventListener('abort', stop);
      if (abortSignal?.aborted === true) stop();
      else sent.end(body);
    });
  }
}

async function answerOf(request: WebResource, response: IncomingMessage): Promise<HttpOperationResponse> {
  const { statusCode: status = 0 } = response;
  if (status >= 300 && status < 400) throw new AzureFault('AZURE_REDIRECT', { status });
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new AzureFault('AZURE_ANSWER', { status });
    chunks.push(chunk);
  }
  return { request, status, headers, bodyAsText: Buffer.concat(chunks).toString('utf8') };
}

/** The server had closed a kept connection, and this request found out. */
function isStale(sent: ClientRequest, error: Error): boolean {
  return sent.reusedSocket && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

/** Twice is as good as once, but for what must not find its own work: there the next attempt asks for the hash. */
function isRepeatable(request: WebResource): boolean {
  return request.headers.get('if-none-match') === undefined;
}

/** Blocks are buffers and lists of them are XML: nothing is a stream. */
function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : '');
}
