import { callerOfKey, hasPermission, requirePermissions, unauthorized } from '@heddle/access';
import type { ApiKeys, Caller } from '@heddle/access';
import { operations } from '@heddle/contracts';
import type { Operation, Permission } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';
import type { Platform } from '@heddle/platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest, RequestPayload } from 'fastify';

import './gateway-request.js';
import { readJsonBody } from './json-body.js';
import type { KeyRate } from './key-rate.js';
import { RequestMetrics } from './request-metrics.js';
import { methodsAt, operationsAt, routeOf } from './route-table.js';

const JSON_TYPE =
  /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;\s*charset\s*=\s*"?(?:utf-8|utf8|us-ascii)"?\s*)?$/i;

const HEADERS_WITHIN_MS = 30_000;

/**
 * What every request meets before its handler, in this order: address and method, key, permission, rate, content type,
 * announced size. Only then the body is read, so nobody without a key makes us buffer one.
 */
export function configureHttp(
  app: NestFastifyApplication,
  {
    platform,
    keys,
    rate,
    bodyWithinMs,
  }: {
    readonly platform: Platform;
    readonly keys: ApiKeys;
    readonly rate: KeyRate;
    readonly bodyWithinMs: number;
  },
): void {
  const fastify = app.getHttpAdapter().getInstance();
  const metrics = app.get(RequestMetrics);
  const { logger } = platform;
  const logsAccess = logger.isLevelEnabled('debug');

  fastify.server.headersTimeout = HEADERS_WITHIN_MS;
  fastify.decorateRequest('caller', undefined);

  const slowBodyEnd = endSlowBodies(bodyWithinMs);
  const served = new Set<Operation>();
  fastify.addHook('onRoute', (route) => {
    const [method = ''] = [route.method].flat();
    const found = operationsAt(method, route.url);
    const [operation] = found;
    if (operation === undefined) return;
    for (const each of found) served.add(each);
    route.config = { ...route.config, operation };
    if (operation.body === undefined) return;
    route.bodyLimit = operation.body.maxBytes;
    route.preParsing = slowBodyEnd;
  });
  fastify.addHook('onReady', (done) => {
    const missing = operations.filter((operation) => !served.has(operation)).map(routeOf);
    done(missing.length === 0 ? undefined : new Error(`operations without a handler: ${missing.join(', ')}`));
  });

  fastify.addHook('onRequest', (request, _reply, done) => {
    const { operation } = request.routeOptions.config;
    if (operation === undefined) {
      done(request.is404 ? wrongAddress(request) : undefined);
      return;
    }
    const { permission } = operation;
    if (permission === 'none' || permission === 'open') {
      done();
      return;
    }
    admit(request, permission === 'any' ? [] : [permission])
      .then(() => {
        done(bodyRefusal(request, operation));
      })
      .catch((error: unknown) => {
        done(error as Error);
      });
  });

  async function admit(request: FastifyRequest, permissions: readonly Permission[]): Promise<void> {
    const caller: Caller | undefined = await callerOfKey(keys, request);
    if (caller === undefined) throw unauthorized(permissions);
    const [permission] = permissions;
    if (permission !== undefined && !hasPermission(caller, permission))
      requirePermissions(caller, permissions);
    const turn = rate.check(caller.actor);
    if (turn !== undefined) await turn;
    request.caller = caller;
  }

  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, readJsonBody(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });

  fastify.addHook('onResponse', (request, reply, done) => {
    metrics.answered(request, reply);
    if (logsAccess) logAccess(request, reply);
    done();
  });

  function logAccess(request: FastifyRequest, reply: FastifyReply): void {
    logger.debug(
      {
        request_id: request.id,
        operation: request.routeOptions.config.operation?.id,
        tenant_id: request.caller?.tenant,
        status: reply.statusCode,
        duration_ms: reply.elapsedTime,
      },
      'request.answered',
    );
  }
}

function wrongAddress(request: FastifyRequest): ProblemError {
  const allow = methodsAt(request.url);
  if (allow === undefined) return new ProblemError(404, 'there is nothing at this address');
  return new ProblemError(405, 'this address does not answer to this method', {
    headers: { allow: allow.join(', ') },
  });
}

/** The server itself leaves time for uploads; a body that is read whole has to come sooner. */
function endSlowBodies(withinMs: number) {
  return (
    _request: FastifyRequest,
    _reply: FastifyReply,
    payload: RequestPayload,
    done: (error: null, payload: RequestPayload) => void,
  ): void => {
    const timer = setTimeout(() => {
      // Nobody listens any more where the body was refused for another reason.
      if (payload.listenerCount('error') === 0) return;
      payload.emit('error', new ProblemError(408, 'the request did not arrive in time'));
    }, withinMs);
    const stop = (): void => {
      clearTimeout(timer);
    };
    payload.once('end', stop).once('close', stop);
    done(null, payload);
  };
}

/** From the head alone. The limit is kept again while the body is read, as a length need not be announced. */
function bodyRefusal({ headers }: FastifyRequest, { body, upload }: Operation): ProblemError | undefined {
  if (body === undefined && !upload) return undefined;
  if (body !== undefined && !JSON_TYPE.test(headers['content-type'] ?? '')) {
    return new ProblemError(415, 'the content type must be application/json, in UTF-8');
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new ProblemError(415, 'the body must not be compressed');
  }
  if (body !== undefined && Number(headers['content-length']) > body.maxBytes) {
    return new ProblemError(413, `the body may have at most ${String(body.maxBytes)} bytes`);
  }
  return undefined;
}
