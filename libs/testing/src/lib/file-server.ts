import { createReadStream, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { extname, join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { freePort } from './free-port.js';

export interface FileServerOptions {
  readonly directory: string;
  readonly port?: number;
}

/** What goes wrong with one path. */
export type FileFault = (
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Never a byte of an answer; with `afterBytes`, none after that many of the content. */
  | { readonly kind: 'hang'; readonly afterBytes?: number }
  /** Ends the connection after that many bytes of the content. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Declares another length than the content has. */
  | { readonly kind: 'length'; readonly declaredBytes: number }
  | { readonly kind: 'redirect'; readonly location: string; readonly status?: 301 | 302 | 303 | 307 | 308 }
) & {
  /** Only for so many requests; for all without it. */
  readonly times?: number;
};

export interface FileRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ['.css', 'text/css; charset=utf-8'],
  ['.html', 'text/html; charset=utf-8'],
  ['.jpeg', 'image/jpeg'],
  ['.jpg', 'image/jpeg'],
  ['.json', 'application/json'],
  ['.pdf', 'application/pdf'],
  ['.png', 'image/png'],
  ['.svg', 'image/svg+xml'],
  ['.txt', 'text/plain; charset=utf-8'],
  ['.xml', 'application/xml'],
  ['.zip', 'application/zip'],
]);

/** Serves a folder over http, and does wrong on request. Runs in this process. */
export async function startFileServer(options: FileServerOptions): Promise<FileServer> {
  const server = new FileServer(realpathSync(options.directory), options.port ?? (await freePort()));
  await server.listen();
  return server;
}

export class FileServer {
  readonly host = '127.0.0.1';
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** In the order of their arrival; the last thousand. */
  readonly requests: FileRequest[] = [];
  private readonly faults = new Map<string, FileFault>();
  private readonly http: Server;

  constructor(
    readonly directory: string,
    readonly port: number,
  ) {
    this.baseUrl = `http://${this.host}:${port}`;
    this.http = createServer((request, response) => {
      response.on('error', () => undefined);
      this.answer(request, response).catch(() => response.destroy());
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((done, fail) => {
      this.http.once('error', fail);
      this.http.listen(this.port, this.host, () => {
        this.http.off('error', fail);
        done();
      });
    });
  }

  /** `eu/ticket.pdf` -> its address. */
  url(path: string): string {
    return new URL(path.split('/').map(encodeURIComponent).join('/'), `${this.baseUrl}/`).href;
  }

  /** @param path as in `url`; `*` is every path without a fault of its own */
  setFault(path: string, fault: FileFault): void {
    this.faults.set(path === '*' ? path : posix.join('/', path), fault);
  }

  clearFaults(): void {
    this.faults.clear();
  }

  async close(): Promise<void> {
    const closed = new Promise((done) => this.http.close(done));
    this.http.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', headers } = request;
    request.resume();
    const path = posix.normalize(decodeURIComponent(new URL(request.url ?? '/', this.baseUrl).pathname));
    this.requests.push({ method, path, headers });
    if (this.requests.length > 1_000) this.requests.shift();

    const fault = this.takeFault(path);
    if (fault?.kind === 'hang' && fault.afterBytes === undefined) return;
    if (fault?.kind === 'status') return void response.writeHead(fault.status, fault.headers).end();
    if (fault?.kind === 'redirect') {
      return void response.writeHead(fault.status ?? 302, { location: fault.location }).end();
    }
    if (method !== 'GET' && method !== 'HEAD')
      return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
    const file = join(this.directory, path);
    const stats = await stat(file).catch(() => undefined);
    if (stats?.isFile() !== true) return void response.writeHead(404, { 'content-length': '0' }).end();

    const etag = `"${stats.size.toString(16)}-${Math.trunc(stats.mtimeMs * 1000).toString(16)}"`;
    if (headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    response.writeHead(200, {
      etag,
      'content-type': TYPES.get(extname(path).toLowerCase()) ?? 'application/octet-stream',
      'content-length': fault?.kind === 'length' ? fault.declaredBytes : stats.size,
      'last-modified': stats.mtime.toUTCString(),
      // A wrong length leaves nothing to go on with.
      ...(fault?.kind === 'length' && { connection: 'close' }),
    });
    if (method === 'HEAD') return void response.end();
    await this.send(file, response, fault);
  }

  private async send(file: string, response: ServerResponse, fault: FileFault | undefined): Promise<void> {
    switch (fault?.kind) {
      case 'cut':
      case 'hang': {
        const bytes = fault.afterBytes ?? 0;
        if (bytes > 0) await pipeline(createReadStream(file, { end: bytes - 1 }), response, { end: false });
        else response.flushHeaders();
        if (fault.kind === 'cut') response.socket?.end();
        return;
      }
      case 'slow': {
        const step = Math.max(1, Math.round(fault.bytesPerSecond / 10));
        for await (const chunk of createReadStream(file, { highWaterMark: step })) {
          if (response.destroyed) return;
          response.write(chunk);
          await delay(100);
        }
        response.end();
        return;
      }
      case 'length':
        await pipeline(createReadStream(file), response, { end: false });
        response.socket?.end();
        return;
      case 'status':
      case 'redirect':
      case undefined:
        await pipeline(createReadStream(file), response);
    }
  }

  private takeFault(path: string): FileFault | undefined {
    const key = this.faults.has(path) ? path : '*';
    const fault = this.faults.get(key);
    if (fault?.times === undefined) return fault;
    if (fault.times <= 1) this.faults.delete(key);
    else this.faults.set(key, { ...fault, times: fault.times - 1 });
    return fault.times > 0 ? fault : undefined;
  }
}
