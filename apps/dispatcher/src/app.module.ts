import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';

import { ServiceTokens } from '@heddle/access';
import { AddressGuard, ownOrigins } from '@heddle/destination-kit';
import { KafkaPublisher, kafkaOptions } from '@heddle/messaging';
import { OutboxRelay, SchemaWatch } from '@heddle/persistence';
import type { Platform } from '@heddle/platform';
import { SecretSealer } from '@heddle/secrets';

import { ReportConsumer } from './attempts/report.consumer.js';
import { ReportRepository } from './attempts/report.repository.js';
import { SilenceSweep } from './attempts/silence.sweep.js';
import { AuditController } from './audit/audit.controller.js';
import type { Config } from './config.js';
import { CancelService } from './deliveries/cancel.service.js';
import { DeliveryController } from './deliveries/delivery.controller.js';
import { DeliveryMetrics } from './deliveries/delivery.metrics.js';
import { DeliveryRepository } from './deliveries/delivery.repository.js';
import { EventConsumer } from './events/event.consumer.js';
import { EventRepository } from './events/event.repository.js';
import { BREAKER } from './flow/flow.js';
import { Housekeeping } from './housekeeping/housekeeping.js';
import { DestinationController, IntegrationController } from './integrations/integration.controller.js';
import { IntegrationService } from './integrations/integration.service.js';
import { Lifecycle } from './lifecycle.js';
import { NoticeRepository } from './notices/notice.repository.js';
import { NoticeSweep } from './notices/notice.sweep.js';
import { CleanUp } from './offers/clean-up.js';
import { OfferPump } from './offers/offer.pump.js';
import { OfferRepository } from './offers/offer.repository.js';
import { SealedSettings } from './offers/sealed-settings.js';
import { dispatcherDataSource } from './schema/data-source.js';
import { SCHEMA } from './schema/schema.js';
import { StatusController } from './status/status.controller.js';
import { TestRepository } from './tests/test.repository.js';
import { TestService } from './tests/test.service.js';
import {
  ADDRESS_GUARD,
  DATA_SOURCE,
  OUTBOX,
  POLICY,
  PUBLISHER,
  REPORTS_CAUGHT_UP,
  SEALER,
} from './tokens.js';
import type { Policy, ReportsCaughtUp } from './tokens.js';
import { BulkController } from './triggers/bulk.controller.js';
import { BulkRepository } from './triggers/bulk.repository.js';
import { BulkRunner } from './triggers/bulk.runner.js';
import { BulkService } from './triggers/bulk.service.js';
import { TriggerController } from './triggers/trigger.controller.js';
import { TriggerRepository } from './triggers/trigger.repository.js';
import { TriggerService } from './triggers/trigger.service.js';

export const SERVICE = 'dispatcher';

@Module({})
export class AppModule {
  static forRoot(config: Config, platform: Platform, reportsCaughtUp: ReportsCaughtUp): DynamicModule {
    const { logger, metrics, health } = platform;
    const dataSource = dispatcherDataSource(config, logger);
    const publisher = new KafkaPublisher({ kafka: kafkaOptions(config, SERVICE), logger, metrics });
    const relay = new OutboxRelay({
      dataSource,
      schema: SCHEMA,
      source: `/heddle/${SERVICE}`,
      publisher,
      logger,
      metrics,
      health,
    });
    return {
      module: AppModule,
      controllers: [
        EventConsumer,
        ReportConsumer,
        IntegrationController,
        DestinationController,
        DeliveryController,
        TriggerController,
        BulkController,
        AuditController,
        StatusController,
      ],
      providers: [
        { provide: DATA_SOURCE, useValue: dataSource },
        { provide: SchemaWatch, useValue: new SchemaWatch(dataSource, logger) },
        { provide: PUBLISHER, useValue: publisher },
        { provide: OUTBOX, useValue: relay },
        { provide: SEALER, useValue: new SecretSealer(config.SECRETS_KEY) },
        { provide: ServiceTokens, useValue: new ServiceTokens(config.SERVICE_TOKEN_KEYS) },
        {
          provide: ADDRESS_GUARD,
          useValue: new AddressGuard({
            allowed: config.OUTBOUND_ALLOWED_ADDRESSES,
            ownOrigins: ownOrigins(config),
          }),
        },
        { provide: POLICY, useValue: policyOf(config) },
        { provide: REPORTS_CAUGHT_UP, useValue: reportsCaughtUp },
        EventRepository,
        OfferRepository,
        OfferPump,
        SealedSettings,
        CleanUp,
        ReportRepository,
        SilenceSweep,
        IntegrationService,
        DeliveryRepository,
        CancelService,
        TestRepository,
        TestService,
        TriggerRepository,
        TriggerService,
        BulkRepository,
        BulkService,
        BulkRunner,
        DeliveryMetrics,
        NoticeRepository,
        NoticeSweep,
        Housekeeping,
        Lifecycle,
      ],
    };
  }
}

function policyOf(config: Config): Policy {
  return {
    retry: { delaysMs: config.RETRY_DELAYS_MS },
    breaker: {
      failures: BREAKER.failures,
      firstWaitMs: config.BREAKER_FIRST_WAIT_MS,
      maxWaitMs: config.BREAKER_MAX_WAIT_MS,
    },
    recipeWaitMs: config.RECIPE_WAIT_MS,
    silenceMs: config.SILENCE_MS,
    offerNotAfterMs: config.OFFER_NOT_AFTER_MS,
    pumpIntervalMs: config.PUMP_INTERVAL_MS,
    historyDays: config.HISTORY_DAYS,
    purgeIntervalMs: config.PURGE_INTERVAL_MS,
    testWaitMs: config.TEST_WAIT_MS,
    notificationWindowMs: config.NOTIFICATION_WINDOW_MS,
  };
}
