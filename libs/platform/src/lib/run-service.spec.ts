import { Writable } from 'node:stream';

import { Controller, Get, Module, Post } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { ServiceConfig } from './load-config.js';
import { createLogger } from './logger.js';
import { ProblemError } from './problem.js';
import { runService } from './run-service.js';
import type { RunningService } from './run-service.js';

@Controller('things')
class ThingsController {
  @Get()
  refuse(): never {
    throw new ProblemError(409, 'the thing is taken', {
      errors: [{ pointer: '/name', code: 'conflict', message: 'name is taken' }],
      headers: { 'retry-after': '7' },
    });
  }

  @Get('broken')
  breakDown(): never {
    throw new Error('driver text with jo@example.org in it');
  }

  @Post()
  accept(): { ok: boolean } {
    return { ok: true };
  }
}

@Module({ controllers: [ThingsController] })
class ThingsModule {}

describe('a service', () => {
  const lines: string[] = [];
  let service: RunningService;
  let base: string;
  let internal: string;

  beforeAll(async () => {
    const destination = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lines.push(chunk.toString());
        done();
      },
    });
    service = await runService({
      service: 'things',
      config: ServiceConfig.parse({}),
      module: (): DynamicModule => ({ module: ThingsModule }),
      logger: createLogger({ service: 'things', level: 'info', destination }),
      handleSignals: false,
    });
    base = `http://127.0.0.1:${String(service.port)}`;
    internal = `http://127.0.0.1:${String(service.internalPort)}`;
  });
  afterAll(() => service.stop());

  it('answers health on both ports and metrics on the internal one alone', async () => {
    expect((await fetch(`${base}/health/ready`)).status).toBe(200);
    expect((await fetch(`${internal}/health/live`)).status).toBe(200);
    expect(await (await fetch(`${internal}/metrics`)).text()).toContain('process_resident_memory_bytes');
    expect((await fetch(`${base}/metrics`)).status).toBe(404);
  });

  it('names what makes it unready', async () => {
    let fault: string | undefined = 'Kafka does not answer';
    service.platform.health.addReadiness('kafka', () => fault);

    const answer = await fetch(`${internal}/health/ready`);

    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: 'failing', failing: { kafka: 'Kafka does not answer' } });
    fault = undefined;
    expect((await fetch(`${internal}/health/ready`)).status).toBe(200);
  });

  it('answers a refusal as one problem with its faults and the id of the request', async () => {
    const answer = await fetch(`${base}/things`, { headers: { 'x-request-id': 'abc-1' } });

    expect(answer.status).toBe(409);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('retry-after')).toBe('7');
    expect(answer.headers.get('x-request-id')).toBe('abc-1');
    expect(await answer.json()).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      detail: 'the thing is taken',
      requestId: 'abc-1',
      errors: [{ pointer: '/name', code: 'conflict', message: 'name is taken' }],
    });
  });

  it('answers an unknown address as a problem', async () => {
    const answer = await fetch(`${base}/nothing?apikey=hidden`);

    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ status: 404, detail: 'there is nothing at this address' });
  });

  it('answers what its HTTP server refuses as a problem, in our words', async () => {
    const post = (body: string, type: string): Promise<Response> =>
      fetch(`${base}/things`, { method: 'POST', body, headers: { 'content-type': type } });

    for (const [answer, status] of [
      [await post('x'.repeat(1_100_000), 'application/json'), 413],
      [await post('a=b', 'application/x-thing'), 415],
      [await post('{"name": "jo@example.org', 'application/json'), 400],
    ] as const) {
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(await answer.text()).not.toContain('jo@example.org');
    }
  });

  it('hides an unexpected error from the caller and says it once in the log', async () => {
    const before = lines.length;

    const answer = await fetch(`${base}/things/broken`);

    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('jo@example.org');
    expect(lines.slice(before).filter((line) => line.includes('request.failed'))).toHaveLength(1);
  });
});
