import { createSecretKey, randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

import { ProblemFilter, createLogger } from '@heddle/platform';

import { Caller, Public, RequirePermission, ServiceTokenGuard } from './guards.js';
import { ServiceTokens } from './service-tokens.js';

@Controller()
class LoomController {
  @Get('orders')
  @RequirePermission('orders:read')
  orders(@Caller() caller: Caller): Caller {
    return caller;
  }

  @Get('any')
  @RequirePermission()
  any(): string {
    return 'any';
  }

  @Get('open')
  @Public()
  open(): string {
    return 'open';
  }

  @Get('forgotten')
  forgotten(): string {
    return 'nobody said who may read this';
  }
}

const tokens = new ServiceTokens([{ kid: 'k1', key: createSecretKey(randomBytes(32)) }]);
const logger = createLogger({ service: 'loom', level: 'error', destination: { write: () => undefined } });

@Module({
  controllers: [LoomController],
  providers: [
    { provide: ServiceTokens, useValue: tokens },
    { provide: APP_GUARD, useClass: ServiceTokenGuard },
    { provide: APP_FILTER, useValue: new ProblemFilter(logger) },
  ],
})
class LoomModule {}

let app: NestFastifyApplication;

beforeAll(async () => {
  app = await NestFactory.create<NestFastifyApplication>(LoomModule, new FastifyAdapter(), { logger: false });
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
});
afterAll(() => app.close());

async function get(url: string, permissions?: readonly ('orders:read' | 'recipes:read' | 'admin')[]) {
  const token =
    permissions && (await tokens.sign({ tenant: 'demo', permissions, actor: 'key:1', channel: undefined }));
  const answer = await app.inject({
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  return { status: answer.statusCode, headers: answer.headers, body: answer.body };
}

describe('ServiceTokenGuard', () => {
  it('lets a caller with the permission in, and tells the handler who it is', async () => {
    const { status, body } = await get('/orders', ['orders:read']);
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ tenant: 'demo', permissions: ['orders:read'], actor: 'key:1' });
  });

  it('lets an admin do everything', async () => {
    expect((await get('/orders', ['admin'])).status).toBe(200);
  });

  it('answers 401 without a token, naming the permission and the scheme', async () => {
    const { status, headers, body } = await get('/orders');
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Bearer');
    expect(JSON.parse(body)).toMatchObject({
      detail: 'a valid key with the permission orders:read is required',
    });
  });

  it('answers 401 to a token that is none', async () => {
    const { statusCode } = await app.inject({ url: '/orders', headers: { authorization: 'Bearer x.y.z' } });
    expect(statusCode).toBe(401);
  });

  it('answers 403 naming what is missing', async () => {
    const { status, body } = await get('/orders', ['recipes:read']);
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({
      detail: 'the key lacks the permission orders:read',
      title: 'Forbidden',
    });
  });

  it('asks for some token where no permission is named', async () => {
    expect((await get('/any')).status).toBe(401);
    expect((await get('/any', [])).status).toBe(200);
  });

  it('asks nothing where the handler is public', async () => {
    expect((await get('/open')).status).toBe(200);
  });

  it('keeps everybody out where nobody said who may come in', async () => {
    expect((await get('/forgotten', ['admin'])).status).toBe(403);
  });
});
