import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Health, HealthReport } from './health.js';
import type { Metrics } from './metrics.js';

export interface InternalServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Health and metrics on a port of their own, away from the API. */
export async function startInternalServer(options: {
  readonly host: string;
  readonly port: number;
  readonly health: Health;
  readonly metrics: Metrics;
}): Promise<InternalServer> {
  const { health, metrics } = options;
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    };
    const path = (request.url ?? '/').replace(/\?.*$/s, '');
    if (path === '/health/live') answer(...healthAnswer(health.live()));
    else if (path === '/health/ready') answer(...healthAnswer(health.ready()));
    else if (path === '/metrics') {
      metrics.metrics().then(
        (text) => {
          answer(200, metrics.contentType, text);
        },
        () => {
          answer(500, 'text/plain', 'collecting metrics\n');
        },
      );
    } else answer(404, 'text/plain', 'try /health/live, /health/ready or /metrics\n');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

export function healthAnswer(report: HealthReport): [status: number, type: string, body: string] {
  return [report.status === 'ok' ? 200 : 503, 'application/json', JSON.stringify(report)];
}
