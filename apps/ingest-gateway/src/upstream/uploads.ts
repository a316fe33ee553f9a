import { PassThrough, Readable } from 'node:stream';

import type { FastifyInstance, FastifyRequest } from 'fastify';

import { operations } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { routeOf } from '../http/route-table.js';

import { pick, sendOn, upstreamRequest } from './pass-on.js';
import type { Upstreams } from './upstream.js';

const UPLOAD_HEADERS = ['content-digest', 'content-length', 'content-type'] as const;

/**
 * One route for each upload to another service: bytes of any type, passed on as they come.
 *
 * @param silenceMs longest pause of whoever sends a file.
 */
export function registerUploads(fastify: FastifyInstance, upstreams: Upstreams, silenceMs: number): void {
  // A scope of its own: everywhere else a body is JSON.
  void fastify.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, body, parsed) => {
      parsed(null, body);
    });
    for (const operation of operations) {
      if (operation.owner === 'ingest-gateway' || !operation.upload) continue;
      const upstream = upstreams[operation.owner];
      scope.route({
        method: operation.method,
        url: routeOf(operation),
        handler: async (request, reply) => {
          const { headers, ...asked } = upstreamRequest(request as GatewayRequest, callerOf(request));
          const answer = await upstream.call({
            ...asked,
            headers: { ...headers, ...pick(request.headers, UPLOAD_HEADERS) },
            body: passedOn(request, silenceMs),
            ...(operation.patienceMs === undefined ? {} : { silenceMs: operation.patienceMs }),
          });
          return sendOn(reply, answer);
        },
      });
    }
    done();
  });
}

/**
 * The body for the service. Both connections stand for themselves: where the service answers early, whoever sends gets
 * that answer; where the client leaves or falls silent, the service gets no end.
 */
function passedOn({ raw, body }: FastifyRequest, silenceMs: number): Readable {
  if (!(body instanceof Readable)) return Readable.from([]);
  const bytes = new PassThrough();
  raw.once('close', () => {
    if (!raw.complete) bytes.destroy(new ProblemError(400, 'the body was cut short'));
  });
  raw.setTimeout(silenceMs, () => {
    // The rest may never come: the connection is of no use any more.
    const headers = { connection: 'close' };
    if (!raw.complete)
      bytes.destroy(new ProblemError(408, 'the request did not arrive in time', { headers }));
  });
  bytes.once('close', () => {
    raw.setTimeout(0);
    raw.resume();
  });
  return raw.pipe(bytes);
}
