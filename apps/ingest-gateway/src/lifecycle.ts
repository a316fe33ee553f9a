import { Inject, Injectable } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';

import { ApiKeys } from '@heddle/access';
import { UrlSources } from '@heddle/destination-kit';
import { SchemaWatch } from '@heddle/persistence';
import { HEALTH, LOGGER, describeError } from '@heddle/platform';
import type { Health, Logger } from '@heddle/platform';

import { CONFIG } from './config.js';
import type { Config } from './config.js';
import { Draining } from './http/draining.js';
import { EVENT_LOG } from './intake/event-log.js';
import type { EventLog } from './intake/event-log.js';
import { AnswerPurge } from './keys/answer-purge.js';
import { UPSTREAMS } from './upstream/upstream.js';
import type { Upstreams } from './upstream/upstream.js';

/** What the gateway needs runs from the first request to the last answer; HTTP is closed in between. */
@Injectable()
export class Lifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  /** Half of the time that a shutdown may take: the publisher needs some of it as well. */
  readonly draining: Draining;

  constructor(
    @Inject(CONFIG) config: Config,
    http: HttpAdapterHost<FastifyAdapter>,
    @Inject(EVENT_LOG) private readonly eventLog: EventLog,
    @Inject(HEALTH) private readonly health: Health,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(UPSTREAMS) private readonly upstreams: Upstreams,
    private readonly urls: UrlSources,
    private readonly keys: ApiKeys,
    private readonly answers: AnswerPurge,
    private readonly schema: SchemaWatch,
  ) {
    this.draining = new Draining(http.httpAdapter.getInstance().server, config.SHUTDOWN_TIMEOUT_MS / 2);
  }

  onApplicationBootstrap(): void {
    this.health.addReadiness('kafka', () =>
      this.eventLog.isConnected ? undefined : 'Kafka does not answer: nothing can be accepted',
    );
    this.health.addReadiness('schema', () => this.schema.fault);
    this.schema.start();
    this.keys.start();
    this.answers.start();
    this.eventLog.connect().catch((error: unknown) => {
      this.logger.error({ err: describeError(error) }, 'kafka.not-connected');
    });
  }

  beforeApplicationShutdown(): void {
    this.draining.start();
  }

  async onApplicationShutdown(): Promise<void> {
    this.draining.stop();
    await this.answers.stop();
    this.urls.close();
    await this.eventLog.close();
    await Promise.all([this.upstreams['association-store'].close(), this.upstreams.dispatcher.close()]);
    await this.keys.stop();
    await this.schema.stop();
  }
}
