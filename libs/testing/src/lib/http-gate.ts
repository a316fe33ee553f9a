import { createServer, request as forward } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';

/** What becomes of a request instead of being passed on. */
export type GateFault =
  /** Answered by the gate. */
  | { readonly answer: GateAnswer }
  /** Read, and never answered. */
  | 'hang'
  /** The connection is cut before anything is read. */
  | 'cut'
  /** The connection is cut when so many bytes of the body have been read; the server sees an upload that breaks off. */
  | { readonly cutAfterBytes: number }
  /** Passed on and carried out, but the answer never arrives: the connection is cut in its place. */
  | 'lose-answer';

export interface GateAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface GatedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** An HTTP server in front of another one: passes everything on, `Host` included, but what its rule says otherwise. */
export class HttpGate {
  readonly requests: GatedRequest[] = [];
  /** Connections that were ever opened to it. */
  acceptedConnections = 0;
  rule: (request: GatedRequest) => GateFault | undefined = () => undefined;
  private readonly server: Server;

  private constructor(private readonly targetPort: number) {
    this.server = createServer((incoming, answer) => this.handle(incoming, answer));
    // As the server behind it decides, so does the gate: nothing is asked for before the rule has spoken.
    this.server.on('checkContinue', (incoming, answer) => this.handle(incoming, answer));
    this.server.on('connection', () => (this.acceptedConnections += 1));
  }

  static async start(targetPort: number): Promise<HttpGate> {
    const gate = new HttpGate(targetPort);
    await new Promise<void>((resolve) => gate.server.listen(0, '127.0.0.1', resolve));
    return gate;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${String(this.port)}`;
  }

  /** Passes everything on again, and forgets what it saw. */
  reset(): void {
    this.rule = () => undefined;
    this.requests.length = 0;
    this.server.closeIdleConnections();
  }

  /** Also those in the middle of a request. */
  cutConnections(): void {
    this.server.closeAllConnections();
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private handle(incoming: IncomingMessage, answer: ServerResponse): void {
    const { method = 'GET', url = '/', headers } = incoming;
    const seen: GatedRequest = { method, url, headers };
    this.requests.push(seen);
    const fault = this.rule(seen);
    incoming.on('error', () => undefined);
    answer.on('error', () => undefined);
    if (fault === 'cut') {
      incoming.socket.destroy();
      return;
    }
    if (typeof fault === 'object' && 'answer' in fault) {
      const { status, headers: answered, body } = fault.answer;
      incoming.resume();
      answer.writeHead(status, answered).end(body);
      return;
    }
    if (headers.expect !== undefined) answer.writeContinue();
    if (fault === 'hang') {
      incoming.resume();
      return;
    }
    this.pass(incoming, answer, fault);
  }

  private pass(
    incoming: IncomingMessage,
    answer: ServerResponse,
    fault: Extract<GateFault, 'lose-answer' | { readonly cutAfterBytes: number }> | undefined,
  ): void {
    const { expect: _expect, ...headers } = incoming.headers;
    const { method, url: path } = incoming;
    const outgoing = forward(
      { host: '127.0.0.1', port: this.targetPort, method, path, headers, agent: false },
      (answered) => {
        if (answer.destroyed || incoming.socket.destroyed) {
          answered.destroy();
          return;
        }
        if (fault === 'lose-answer') {
          answered.resume().on('close', () => incoming.socket.destroy());
          return;
        }
        answer.writeHead(answered.statusCode ?? 502, answered.headers);
        pipeline(answered, answer, () => undefined);
      },
    );
    outgoing.on('error', () => incoming.socket.destroy());
    incoming.on('close', () => {
      if (!incoming.complete) outgoing.destroy();
    });
    if (typeof fault === 'object') {
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes >= fault.cutAfterBytes) incoming.socket.destroy();
      });
    }
    incoming.pipe(outgoing);
  }
}
