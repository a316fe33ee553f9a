import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';

import { ProblemError } from '@heddle/platform';

/** Of the header with this name. */
export const IdempotencyKey = z.string().min(1).max(128).optional();

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
