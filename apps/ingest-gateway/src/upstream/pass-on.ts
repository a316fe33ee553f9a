import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Dispatcher } from 'undici';

import type { Caller } from '@heddle/access';
import { operations } from '@heddle/contracts';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { routeOf } from '../http/route-table.js';
import { invalid } from '../http/validate.js';

import type { UpstreamRequest, Upstreams } from './upstream.js';

const REQUEST_HEADERS = [
  'accept',
  'if-match',
  'if-none-match',
  'if-range',
  'idempotency-key',
  'range',
  'traceparent',
] as const;
const ANSWER_HEADERS = [
  'accept-ranges',
  'cache-control',
  'content-disposition',
  'content-length',
  'content-range',
  'content-security-policy',
  'content-type',
  'etag',
  'last-modified',
  'location',
  'retry-after',
  'x-content-type-options',
] as const;

/** Operations that do more than pass on. */
const COMPOSED: ReadonlySet<string> = new Set([
  'getOrder',
  'listOrders',
  'getRecipe',
  'getTicket',
  'getPngPreview',
  'getJpgPreview',
]);

/** One route for each operation of another service. */
export function registerPassedOn(fastify: FastifyInstance, upstreams: Upstreams): void {
  for (const operation of operations) {
    if (operation.owner === 'ingest-gateway' || operation.upload || COMPOSED.has(operation.id)) continue;
    const upstream = upstreams[operation.owner];
    fastify.route({
      method: operation.method,
      url: routeOf(operation),
      handler: async (request, reply) => {
        const { body } = request as GatewayRequest;
        if (body !== undefined && body.faults.length > 0) throw invalid(body.faults);
        const answer = await upstream.call({
          ...upstreamRequest(request as GatewayRequest, callerOf(request)),
          ...(operation.patienceMs === undefined ? {} : { silenceMs: operation.patienceMs }),
        });
        return sendOn(reply, answer);
      },
    });
  }
}

/** The same request, without the key, as the caller. */
export function upstreamRequest(request: GatewayRequest, caller: Caller): UpstreamRequest {
  const bytes = request.body?.bytes;
  const hasBody = bytes !== undefined && bytes.length > 0;
  return {
    method: request.method as UpstreamRequest['method'],
    path: withoutKey(request),
    caller,
    requestId: request.id,
    headers: {
      ...pick(request.headers, REQUEST_HEADERS),
      ...(hasBody ? { 'content-type': 'application/json' } : {}),
    },
    body: hasBody ? bytes : undefined,
  };
}

export function sendOn(
  reply: FastifyReply,
  answer: Dispatcher.ResponseData,
  headers: Readonly<Record<string, string>> = {},
): FastifyReply {
  void reply.status(answer.statusCode).headers({ ...pick(answer.headers, ANSWER_HEADERS), ...headers });
  return reply.send(answer.body);
}

/** The path in the case of the route's own words, as services match it exactly; parameters keep theirs. */
function withoutKey(request: FastifyRequest): string {
  const params = request.params as Readonly<Record<string, string>>;
  const path = (request.routeOptions.url ?? '').replace(/:(\w+)/g, (_, name: string) =>
    encodeURIComponent(params[name] ?? ''),
  );
  const at = request.url.indexOf('?');
  if (at === -1) return path;
  const query = new URLSearchParams(request.url.slice(at + 1));
  query.delete('apikey');
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

export function pick(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  names: readonly string[],
): Record<string, string | string[]> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
