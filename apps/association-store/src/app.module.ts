import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { ServiceTokens } from '@heddle/access';
import { AddressGuard, UrlSources, hubHosts, ownOrigins } from '@heddle/destination-kit';
import { KafkaPublisher, kafkaOptions } from '@heddle/messaging';
import { OutboxRelay, SchemaWatch } from '@heddle/persistence';
import type { Platform } from '@heddle/platform';

import type { Config } from './config.js';
import { FileController } from './files/file.controller.js';
import { FileService } from './files/file.service.js';
import { OBJECT_STORE } from './files/object-store.js';
import { objectStoreOf } from './files/object-stores.js';
import type { Hub } from './hub.js';
import { Lifecycle } from './lifecycle.js';
import { Linker } from './links/linker.js';
import { StoreMetrics } from './operations/store-metrics.js';
import { OrderConsumer } from './orders/order.consumer.js';
import { ChosenOrderController, OrderController } from './orders/order.controller.js';
import { RecipeConsumer } from './recipes/recipe.consumer.js';
import { RecipeController } from './recipes/recipe.controller.js';
import { ReportController } from './reports/report.controller.js';
import { storeDataSource } from './schema/data-source.js';
import { SCHEMA } from './schema/migrations.js';
import { StatusController } from './status/status.controller.js';
import { PREVIEWS_WITHIN_MS, PreviewSource } from './tickets/preview-source.js';
import { TicketThreads } from './tickets/ticket-threads.js';
import { TicketController } from './tickets/ticket.controller.js';
import { TicketMetrics } from './tickets/ticket.metrics.js';
import { TicketService } from './tickets/ticket.service.js';
import { UploadedPreviews } from './tickets/uploaded-previews.js';
import {
  HISTORY_DAYS,
  HUB,
  TICKET_PAPER,
  UNUSED_FILES_DAYS,
  UPLOAD_MAX_BYTES,
  WAITING_ALERT_MS,
} from './tokens.js';
import { OverdueWatch } from './waiting/overdue-watch.js';

export const SERVICE = 'association-store';

@Module({})
export class AppModule {
  /** @param ticketThread file that a thread of tickets runs. */
  static forRoot(config: Config, platform: Platform, ticketThread: string): DynamicModule {
    const { logger, metrics, health } = platform;
    const dataSource = storeDataSource(config, logger);
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
    const threads = new TicketThreads({
      file: ticketThread,
      threads: config.TICKET_THREADS,
      timeoutMs: config.TICKET_TIMEOUT_MS,
    });
    const sources = new UrlSources({
      guard: new AddressGuard({
        allowed: config.OUTBOUND_ALLOWED_ADDRESSES,
        ownOrigins: ownOrigins({ ...config, STORE_URL: `http://${config.HOST}:${String(config.PORT)}` }),
      }),
      connectTimeoutMs: PREVIEWS_WITHIN_MS,
      silenceTimeoutMs: PREVIEWS_WITHIN_MS,
    });
    return {
      module: AppModule,
      controllers: [
        OrderConsumer,
        RecipeConsumer,
        OrderController,
        ChosenOrderController,
        RecipeController,
        FileController,
        ReportController,
        StatusController,
        TicketController,
      ],
      providers: [
        { provide: DataSource, useValue: dataSource },
        { provide: SchemaWatch, useValue: new SchemaWatch(dataSource, logger) },
        { provide: KafkaPublisher, useValue: publisher },
        { provide: OutboxRelay, useValue: relay },
        { provide: ServiceTokens, useValue: new ServiceTokens(config.SERVICE_TOKEN_KEYS) },
        { provide: HUB, useValue: { url: config.PUBLIC_URL, hosts: hubHosts(config) } satisfies Hub },
        { provide: HISTORY_DAYS, useValue: config.HISTORY_DAYS },
        { provide: WAITING_ALERT_MS, useValue: config.WAITING_ALERT_MS },
        { provide: OBJECT_STORE, useFactory: () => objectStoreOf(config) },
        { provide: UPLOAD_MAX_BYTES, useValue: config.UPLOAD_MAX_BYTES },
        { provide: UNUSED_FILES_DAYS, useValue: config.UNUSED_FILES_DAYS },
        FileService,
        { provide: TICKET_PAPER, useValue: config.TICKET_PAPER },
        { provide: TicketThreads, useValue: threads },
        { provide: UrlSources, useValue: sources },
        { provide: PreviewSource, useValue: new PreviewSource(sources) },
        TicketMetrics,
        UploadedPreviews,
        TicketService,
        StoreMetrics,
        Linker,
        OverdueWatch,
        Lifecycle,
      ],
    };
  }
}
