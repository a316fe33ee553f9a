import { Agent as HttpAgent } from 'node:http';
import type { AgentOptions, ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

import { isIP } from 'node:net';

import type { AddressGuard, GuardedScheme } from './address-guard.js';
import { DestinationError } from './destination-error.js';

type Connected = (error: Error | null, stream: Duplex) => void;

/** Agents of `node:http` and `node:https` whose every socket was opened by the guard. */
export interface GuardedAgents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  destroy(): void;
}

/**
 * Connections are kept for reuse by host and port. `node:http` follows no redirect, and a
 * caller that follows one by itself comes through the guard again.
 */
export function guardedAgents(
  guard: AddressGuard,
  options: AgentOptions & { readonly connectTimeoutMs: number },
): GuardedAgents {
  const { connectTimeoutMs, ...agentOptions } = options;

  function open(scheme: GuardedScheme, args: ClientRequestArgs, connected: Connected): void {
    const host = args.host ?? '';
    const port = Number(args.port ?? args.defaultPort ?? 0);
    // As it is: its code decides what becomes of the caller.
    const fail = (error: unknown): void => connected(error as Error, undefined as never);
    guard.connect({ scheme, host, port }, { timeoutMs: connectTimeoutMs }).then((socket) => {
      if (scheme !== 'https') {
        connected(null, socket);
        return;
      }
      const { host: _host, port: _port, path: _path, ...tlsArgs } = args as ConnectionOptions;
      // `host` stays for the check of the certificate; an address is no server name.
      const tls = connectTls({ ...tlsArgs, host, socket, servername: isIP(host) === 0 ? host : '' });
      const timer = setTimeout(
        () =>
          tls.destroy(new DestinationError('TIMEOUT', `connecting to ${host}:${String(port)}: no answer`)),
        connectTimeoutMs,
      );
      const failed = (error: Error): void => {
        clearTimeout(timer);
        socket.destroy();
        fail(error);
      };
      tls.once('error', failed);
      tls.once('secureConnect', () => {
        clearTimeout(timer);
        tls.removeListener('error', failed);
        connected(null, tls);
      });
    }, fail);
  }

  class GuardedHttpAgent extends HttpAgent {
    override createConnection(args: ClientRequestArgs, connected?: Connected): undefined {
      if (connected) open('http', args, connected);
    }
  }
  class GuardedHttpsAgent extends HttpsAgent {
    override createConnection(args: ClientRequestArgs, connected?: Connected): undefined {
      if (connected) open('https', args, connected);
    }
  }

  const http = new GuardedHttpAgent(agentOptions);
  const https = new GuardedHttpsAgent(agentOptions);
  return {
    http,
    https,
    destroy: () => {
      http.destroy();
      https.destroy();
    },
  };
}
