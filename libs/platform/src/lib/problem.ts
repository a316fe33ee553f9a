import { STATUS_CODES } from 'node:http';

import { Catch, HttpException } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import type { Fault, Problem } from '@heddle/contracts';

import { describeError } from './logger.js';
import type { Logger } from './logger.js';

/** An answer that is not a success, in our words. `detail` holds nothing that was submitted. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly status: number,
    readonly detail: string,
    readonly options: {
      readonly errors?: readonly Fault[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(detail, { cause: options.cause });
  }
}

export function problemOf(
  status: number,
  detail: string,
  requestId: string,
  errors?: readonly Fault[],
): Problem {
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    requestId,
    ...(errors === undefined ? {} : { errors: [...errors] }),
  };
}

/** Our sentences for what frameworks throw: theirs may quote the request. */
const FRAMEWORK_DETAIL: ReadonlyMap<number, string> = new Map([
  [400, 'the request is malformed'],
  [401, 'a key is required'],
  [403, 'the key lacks a permission'],
  [404, 'there is nothing at this address'],
  [405, 'this address does not answer to this method'],
  [408, 'the request did not arrive in time'],
  [413, 'the body is too large'],
  [414, 'the address is too long'],
  [415, 'the content type must be application/json'],
  [431, 'the headers are too large'],
]);

/** Any error becomes one `application/problem+json` answer; only the unexpected is logged. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    sendProblem(error, request, reply, this.logger);
  }
}

export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: Logger,
): void {
  const status = statusOf(error);
  const ours = error instanceof ProblemError;
  const detail = ours ? error.detail : (FRAMEWORK_DETAIL.get(status) ?? 'the request could not be served');
  if (status >= 500 && !ours) {
    logger.error(
      { err: describeError(error), request_id: request.id, route: request.routeOptions.url },
      'request.failed',
    );
  }
  if (reply.sent || reply.raw.headersSent) return;
  if (ours && error.options.headers !== undefined) void reply.headers(error.options.headers);
  void reply
    .status(status)
    .header('content-type', 'application/problem+json')
    // A buffer: Fastify would add a charset, which JSON types do not have, to text.
    .send(
      Buffer.from(
        JSON.stringify(problemOf(status, detail, request.id, ours ? error.options.errors : undefined)),
      ),
    );
}

function statusOf(error: unknown): number {
  if (error instanceof ProblemError) return error.status;
  if (error instanceof HttpException) return error.getStatus();
  // Fastify's own refusals (too large, wrong media type) carry `statusCode`.
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number') {
    return error.statusCode >= 400 && error.statusCode < 600 ? error.statusCode : 500;
  }
  return 500;
}
