import type { AddressInfo } from 'node:net';

import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyServerOptions } from 'fastify';

import { connectStrategy } from './connect-strategy.js';
import { Health } from './health.js';
import { newId } from './identifiers.js';
import { healthAnswer, startInternalServer } from './internal-server.js';
import type { ServiceConfig } from './load-config.js';
import { NestLogger, createLogger, describeError } from './logger.js';
import type { Logger } from './logger.js';
import { createMetrics } from './metrics.js';
import { PlatformModule } from './platform.module.js';
import type { Platform } from './platform.module.js';
import { ProblemFilter } from './problem.js';

export interface ServiceOptions {
  /** App name = folder = consumer group = `service` in logs. */
  readonly service: string;
  readonly config: ServiceConfig;
  readonly module: (platform: Platform) => DynamicModule;
  /** Options of the HTTP server beyond the defaults here. */
  readonly fastify?: FastifyServerOptions;
  /** Adds hooks and parsers before the first request. */
  readonly configure?: (app: NestFastifyApplication) => void | Promise<void>;
  /** Kafka servers, started after HTTP listens and stopped before it closes. */
  readonly strategies?: (app: NestFastifyApplication) => readonly CustomTransportStrategy[];
  /** For tests: where log lines go and whether signals are handled. */
  readonly logger?: Logger;
  readonly handleSignals?: boolean;
}

export interface RunningService {
  readonly app: NestFastifyApplication;
  readonly platform: Platform;
  readonly port: number;
  readonly internalPort: number;
  /** Drains and stops; resolves when everything is closed. Safe to call twice. */
  stop(): Promise<void>;
}

const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * One service's life: internal server first, so that liveness answers at once; then the
 * HTTP API, then the consumers. On SIGTERM or SIGINT readiness goes off, consumers and
 * requests drain, and a hard timer ends the process when that takes too long.
 */
export async function runService(options: ServiceOptions): Promise<RunningService> {
  const { service, config } = options;
  const logger = options.logger ?? createLogger({ service, level: config.LOG_LEVEL });
  const platform: Platform = { service, logger, metrics: createMetrics(service), health: new Health() };
  const { health } = platform;
  const internal = await startInternalServer({ host: config.HOST, port: config.INTERNAL_PORT, ...platform });

  const adapter = new FastifyAdapter({
    bodyLimit: 1_048_576,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    forceCloseConnections: 'idle',
    logger: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId();
    },
    ...options.fastify,
  } as FastifyServerOptions);
  const root = options.module(platform);
  const app = await NestFactory.create<NestFastifyApplication>(
    {
      module: ServiceModule,
      imports: [PlatformModule.forRoot(platform), root],
    } satisfies DynamicModule,
    adapter,
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest declares its options as a class and takes literals
    { logger: new NestLogger(logger), bodyParser: false, abortOnError: false },
  );
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    done();
  });
  fastify.get('/health/live', (_request, reply) => answerHealth(reply, healthAnswer(health.live())));
  fastify.get('/health/ready', (_request, reply) => answerHealth(reply, healthAnswer(health.ready())));
  app.useGlobalFilters(new ProblemFilter(logger));
  await options.configure?.(app);
  for (const strategy of options.strategies?.(app) ?? []) connectStrategy(app, strategy);
  await app.init();
  await app.listen(config.PORT, config.HOST);
  await app.startAllMicroservices();
  health.started();
  const port = (app.getHttpServer().address() as AddressInfo).port;
  logger.info({ port, internal_port: internal.port, pid: process.pid }, 'service.started');

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      health.shuttingDown();
      await app.close();
      await internal.close();
      logger.info('service.stopped');
    })();
    return stopping;
  };
  if (options.handleSignals !== false) endOnSignals(stop, config.SHUTDOWN_TIMEOUT_MS, logger);
  return { app, platform, port, internalPort: internal.port, stop };
}

@Module({})
class ServiceModule {}

interface Answerable {
  status(code: number): Answerable;
  header(name: string, value: string): Answerable;
  send(body: string): unknown;
}

function answerHealth(reply: Answerable, [status, type, body]: readonly [number, string, string]): unknown {
  return reply.status(status).header('content-type', type).header('cache-control', 'no-store').send(body);
}

function endOnSignals(stop: () => Promise<void>, timeoutMs: number, logger: Logger): void {
  const end = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'service.stopping');
    setTimeout(() => {
      logger.error({ timeout_ms: timeoutMs }, 'service.stop-timed-out');
      process.exit(1);
    }, timeoutMs).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: describeError(error) }, 'service.stop-failed');
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}
