import type { Socket } from 'node:net';

import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';

import { newId, problemOf, sendProblem } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

const REFUSALS: Readonly<Record<string, readonly [status: number, title: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'the headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'the request did not arrive in time'],
};
/** Longest request: an upload. Other bodies have less time, see `configureHttp`. */
const LONGEST_UPLOAD_MS = 3_600_000;
const MALFORMED = [400, 'Bad Request', 'the request is not HTTP'] as const;

export function serverOptions(logger: Logger): FastifyServerOptions {
  return {
    requestTimeout: LONGEST_UPLOAD_MS,
    // Paths without regard to case; ids in them keep theirs. A sealed link is as long as what it leads to, and the
    // limit of Node for a whole head ends it.
    routerOptions: { caseSensitive: false, ignoreTrailingSlash: true, maxParamLength: 16_384 },
    // Requests that are under way when the process is told to stop are served.
    return503OnClosing: false,
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      void reply.header('x-request-id', request.id);
      sendProblem(error, request, reply, logger);
    },
    clientErrorHandler: refuseConnection,
  };
}

/** What never became a request gets a problem as well. */
function refuseConnection(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const [status, title, detail] = REFUSALS[error.code ?? ''] ?? MALFORMED;
  const requestId = newId();
  const body = JSON.stringify(problemOf(status, detail, requestId));
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(
    `HTTP/1.1 ${String(status)} ${title}\r\nConnection: close\r\nX-Request-Id: ${requestId}\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`,
  );
}
