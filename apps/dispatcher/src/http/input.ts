import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';

import { ProblemError, faultsOf } from '@heddle/platform';

/** Of the header with this name. */
export const IdempotencyKey = z.string().min(1).max(128).optional();

/**
 * Parses the parameters of a query.
 *
 * @throws {ProblemError} 400 with every fault, each named after its parameter.
 */
export function parseQuery<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query, { reportInput: true });
  if (parsed.success) return parsed.data;
  const errors = faultsOf(parsed.error).map((fault) => ({ ...fault, pointer: `?${fault.pointer.slice(1)}` }));
  throw new ProblemError(400, errors.length === 1 ? '1 fault' : `${String(errors.length)} faults`, {
    errors,
  });
}

/** JSON as PostgreSQL can keep it, also under the media type of merge patches. An empty body is no body. */
export function acceptJson(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'string' },
    (_request, body, done) => {
      const text = String(body);
      if (text.trim() === '') return done(null, undefined);
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        return done(new ProblemError(400, 'the body is not JSON'), undefined);
      }
      if (!isStorable(value, 0))
        return done(
          new ProblemError(400, 'the body holds a NUL, half of a surrogate pair, or is nested too deeply'),
          undefined,
        );
      return done(null, value);
    },
  );
}

/** Source: architecture, section 7. */
const MAX_DEPTH = 64;

function isStorable(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\u0000');
  if (typeof value !== 'object' || value === null) return true;
  if (depth >= MAX_DEPTH) return false;
  return Object.entries(value).every(
    ([name, member]) => isStorable(name, depth) && isStorable(member, depth + 1),
  );
}
