import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';

import { ApiKeys, ServiceTokens } from '@heddle/access';
import { AddressGuard, UrlSources, ownOrigins } from '@heddle/destination-kit';
import { SchemaWatch } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { Platform } from '@heddle/platform';
import { FileLinks } from '@heddle/secrets';

import { AssociationController } from './associations/association.controller.js';
import { AuditController } from './audit/audit.controller.js';
import { CancellationController } from './cancellations/cancellation.controller.js';
import { CONFIG } from './config.js';
import type { Config } from './config.js';
import { DATA_SOURCE } from './database.js';
import { LinkedFiles } from './files/linked-files.js';
import { RequestMetrics } from './http/request-metrics.js';
import { EVENT_LOG } from './intake/event-log.js';
import type { EventLog } from './intake/event-log.js';
import { IntakeMetrics } from './intake/intake-metrics.js';
import { Intake } from './intake/intake.js';
import { AnswerPurge } from './keys/answer-purge.js';
import { KeyController } from './keys/key.controller.js';
import { Lifecycle } from './lifecycle.js';
import { RecipeController } from './recipes/recipe.controller.js';
import { StatusController } from './status/status.controller.js';
import { UPSTREAMS, Upstream } from './upstream/upstream.js';

export interface GatewayParts {
  readonly config: Config;
  readonly dataSource: DataSource;
  readonly eventLog: EventLog;
}

/** Of sources of linked files. As the workers have them unless told otherwise. */
const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;

@Module({})
export class AppModule {
  static forRoot({ config, dataSource, eventLog }: GatewayParts, platform: Platform): DynamicModule {
    const { logger, metrics } = platform;
    const tokens = new ServiceTokens(config.SERVICE_TOKEN_KEYS);
    return {
      module: AppModule,
      controllers: [
        AssociationController,
        CancellationController,
        RecipeController,
        KeyController,
        AuditController,
        StatusController,
      ],
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: DATA_SOURCE, useValue: dataSource },
        { provide: EVENT_LOG, useValue: eventLog },
        { provide: ApiKeys, useValue: new ApiKeys({ dataSource, logger, metrics }) },
        { provide: SchemaWatch, useValue: new SchemaWatch(dataSource, logger) },
        {
          provide: UPSTREAMS,
          useValue: {
            'association-store': new Upstream('order store', config.STORE_URL, tokens, logger),
            dispatcher: new Upstream('dispatcher', config.DISPATCHER_URL, tokens, logger),
          },
        },
        { provide: FileLinks, useValue: new FileLinks(config.SERVICE_TOKEN_KEYS) },
        {
          provide: UrlSources,
          useValue: new UrlSources({
            guard: new AddressGuard({
              allowed: config.OUTBOUND_ALLOWED_ADDRESSES,
              ownOrigins: ownOrigins(config),
            }),
            connectTimeoutMs: CONNECT_TIMEOUT_MS,
            silenceTimeoutMs: SILENCE_TIMEOUT_MS,
          }),
        },
        AnswerPurge,
        LinkedFiles,
        Intake,
        IntakeMetrics,
        RequestMetrics,
        Lifecycle,
      ],
    };
  }
}
