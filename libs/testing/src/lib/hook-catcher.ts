import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface HookCatcherOptions {
  readonly port?: number;
  /** Each call becomes a file here, readable for people, before it is answered. */
  readonly directory?: string;
  /** Calls that are remembered; older ones are forgotten. */
  readonly keep?: number;
}

/** One call of a hook, its body read to the end. */
export interface HookRequest {
  /** 1 for the first call of this folder. */
  readonly number: number;
  readonly at: Date;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface CaughtCall extends HookRequest {
  /** What became of it; undefined where it was accepted at once. */
  readonly reaction: HookReaction | undefined;
}

/** What becomes of a call instead of the usual 200. */
export type HookReaction =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      /** The head of the answer comes, its body never ends. */
      readonly isEndless?: boolean;
    }
  /** The usual answer, after so long. */
  | { readonly afterMs: number }
  /** Read, and never answered. */
  | 'hang'
  /** Read, then the connection is reset. */
  | 'reset';

/** As Zapier answers; whoever calls has to ignore it. */
const ACCEPTED = JSON.stringify({ status: 'success', id: 'caught', request_id: 'caught', attempt: 'caught' });

/** Takes calls as a catch hook of Zapier does, and misbehaves on request. Runs in this process. */
export class HookCatcher {
  /** In the order of their arrival. */
  readonly calls: CaughtCall[] = [];
  /** Connections that were ever opened to it. */
  acceptedConnections = 0;
  /** Undefined for the usual answer. */
  rule: (call: HookRequest) => HookReaction | undefined = () => undefined;
  private readonly http: Server;
  private readonly waits = new Set<NodeJS.Timeout>();

  private constructor(
    private readonly directory: string | undefined,
    private readonly keep: number,
    private count: number,
  ) {
    this.http = createServer((request, response) => {
      response.on('error', () => undefined);
      this.take(request, response).catch(() => response.destroy());
    });
    this.http.on('connection', () => (this.acceptedConnections += 1));
  }

  static async start(options: HookCatcherOptions = {}): Promise<HookCatcher> {
    const { directory, port = 0, keep = 10_000 } = options;
    if (directory !== undefined) await mkdir(directory, { recursive: true });
    const names = directory === undefined ? [] : await readdir(directory);
    const numbers = names.map((name) => Number.parseInt(name, 10)).filter((number) => !Number.isNaN(number));
    const catcher = new HookCatcher(directory, keep, Math.max(0, ...numbers));
    await new Promise<void>((done, fail) => {
      catcher.http.once('error', fail);
      catcher.http.listen(port, '127.0.0.1', () => {
        catcher.http.off('error', fail);
        done();
      });
    });
    return catcher;
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  /** An address to call; the path tells one hook from another. */
  hookUrl(hook = 'caught'): string {
    return `http://127.0.0.1:${String(this.port)}/hooks/catch/1/${hook}/`;
  }

  /** Answers as usual again, and forgets what it caught; its files stay. */
  reset(): void {
    this.rule = () => undefined;
    this.calls.length = 0;
  }

  /** Also those in the middle of a call. */
  cutConnections(): void {
    this.http.closeAllConnections();
  }

  /** Those that are kept for a next call. */
  closeIdleConnections(): void {
    this.http.closeIdleConnections();
  }

  async close(): Promise<void> {
    for (const wait of this.waits) clearTimeout(wait);
    const closed = new Promise((done) => this.http.close(done));
    this.http.closeAllConnections();
    await closed;
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = 'GET', url = '/', headers } = request;
    this.count += 1;
    const text = Buffer.concat(chunks).toString('utf8');
    const asked: HookRequest = { number: this.count, at: new Date(), method, url, headers, text };
    const reaction = this.rule(asked);
    const call = { ...asked, reaction };
    this.calls.push(call);
    if (this.calls.length > this.keep) this.calls.shift();
    await this.write(call);
    this.answer(request, response, reaction);
  }

  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    reaction: HookReaction | undefined,
  ): void {
    if (reaction === 'hang') return;
    if (reaction === 'reset') {
      request.socket.resetAndDestroy();
    } else if (reaction !== undefined && 'status' in reaction) {
      response.writeHead(reaction.status, reaction.headers);
      if (reaction.isEndless === true) response.write(reaction.body ?? ' ');
      else response.end(reaction.body);
    } else if (reaction === undefined) {
      accept(response);
    } else {
      const wait = setTimeout(() => {
        this.waits.delete(wait);
        accept(response);
      }, reaction.afterMs);
      this.waits.add(wait);
    }
  }

  private async write(call: CaughtCall): Promise<void> {
    if (this.directory === undefined) return;
    const { number, at, method, url, headers, text, reaction } = call;
    const body = jsonOf(text);
    const page = {
      at: at.toISOString(),
      request: `${method} ${url}`,
      headers,
      body: body ?? text,
      answer: reaction ?? { status: 200 },
    };
    const subject = subjectOf(body);
    const name = `${String(number).padStart(6, '0')}${subject === '' ? '' : `-${subject}`}.json`;
    await writeFile(join(this.directory, name), `${JSON.stringify(page, null, 2)}\n`);
  }
}

function accept(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(ACCEPTED);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What the call is about, as part of a file's name. */
function subjectOf(body: unknown): string {
  if (typeof body !== 'object' || body === null) return '';
  const { orderNumber, recipeId } = body as { orderNumber?: unknown; recipeId?: unknown };
  const subject = typeof orderNumber === 'string' ? orderNumber : recipeId;
  return typeof subject === 'string' ? subject.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 80) : '';
}
