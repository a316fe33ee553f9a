import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { ServiceTokens } from '@heddle/access';
import { KafkaPublisher, kafkaOptions } from '@heddle/messaging';
import { OutboxRelay, SchemaWatch } from '@heddle/persistence';
import type { Platform } from '@heddle/platform';

import type { Config } from './config.js';
import { Lifecycle } from './lifecycle.js';
import { Linker } from './links/linker.js';
import { StoreMetrics } from './operations/store-metrics.js';
import { OrderConsumer } from './orders/order.consumer.js';
import { OrderController } from './orders/order.controller.js';
import { RecipeConsumer } from './recipes/recipe.consumer.js';
import { RecipeController } from './recipes/recipe.controller.js';
import { storeDataSource } from './schema/data-source.js';
import { SCHEMA } from './schema/migrations.js';
import { HISTORY_DAYS, PUBLIC_URL } from './tokens.js';

export const SERVICE = 'association-store';

@Module({})
export class AppModule {
  static forRoot(config: Config, platform: Platform): DynamicModule {
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
    return {
      module: AppModule,
      controllers: [OrderConsumer, RecipeConsumer, OrderController, RecipeController],
      providers: [
        { provide: DataSource, useValue: dataSource },
        { provide: SchemaWatch, useValue: new SchemaWatch(dataSource, logger) },
        { provide: KafkaPublisher, useValue: publisher },
        { provide: OutboxRelay, useValue: relay },
        { provide: ServiceTokens, useValue: new ServiceTokens(config.SERVICE_TOKEN_KEYS) },
        { provide: PUBLIC_URL, useValue: config.PUBLIC_URL },
        { provide: HISTORY_DAYS, useValue: config.HISTORY_DAYS },
        StoreMetrics,
        Linker,
        Lifecycle,
      ],
    };
  }
}
