import type { FastifyRequest } from 'fastify';

/** What the caller asks, without the key that may stand beside it. */
export function queryOf({ query }: FastifyRequest): Record<string, unknown> {
  const { apikey: _, ...rest } = query as Record<string, unknown>;
  return rest;
}
