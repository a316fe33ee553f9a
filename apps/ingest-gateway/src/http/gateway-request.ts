import type { FastifyRequest } from 'fastify';

import type { Caller } from '@heddle/access';
import type { Operation } from '@heddle/contracts';

import type { JsonBody } from './json-body.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before the body is read, on routes that need a key. */
    caller: Caller | undefined;
  }
  interface FastifyContextConfig {
    operation?: Operation;
  }
}

/** A request that came through the gateway's checks. */
export type GatewayRequest = FastifyRequest & { body: JsonBody | undefined };

/** Who is asking, on a route that needs a key. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined)
    throw new TypeError(`${request.method} ${request.routeOptions.url ?? ''} checks no key`);
  return request.caller;
}
