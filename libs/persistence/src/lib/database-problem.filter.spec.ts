import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LOGGER, ProblemFilter, createLogger } from '@heddle/platform';
import { Controller, Get, Module, UseFilters } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

import { DatabaseError } from './database-error.js';
import { DatabaseProblemFilter } from './database-problem.filter.js';

@Controller()
@UseFilters(DatabaseProblemFilter)
class LoomController {
  @Get('away')
  away(): never {
    throw new DatabaseError('querying PostgreSQL: connection refused', 'transient');
  }

  @Get('wrong')
  wrong(): never {
    throw new DatabaseError('querying PostgreSQL: no such column', 'poison', '42703');
  }
}

let lines: { readonly level: string; readonly msg: string }[] = [];
const logger = createLogger({
  service: 'loom',
  level: 'info',
  destination: { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
});

@Module({ controllers: [LoomController], providers: [{ provide: LOGGER, useValue: logger }] })
class LoomModule {}

describe('an answer that needs a database', () => {
  let app: NestFastifyApplication;
  beforeAll(async () => {
    app = await NestFactory.create<NestFastifyApplication>(LoomModule, new FastifyAdapter(), {
      logger: false,
    });
    app.useGlobalFilters(new ProblemFilter(logger));
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
  });
  afterAll(() => app.close());

  it('asks to come again while it is away, and alarms nobody', async () => {
    lines = [];
    const answer = await app.inject({ url: '/away' });

    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '5']);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.json()).toMatchObject({ detail: 'the database does not answer, try again' });
    expect(lines).toMatchObject([{ level: 'warn', msg: 'database.unreachable' }]);
  });

  it('is our fault where the statement is wrong', async () => {
    lines = [];
    const answer = await app.inject({ url: '/wrong' });

    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([500, undefined]);
    expect(answer.body).not.toContain('column');
    expect(lines).toMatchObject([{ level: 'error', msg: 'request.failed' }]);
  });
});
