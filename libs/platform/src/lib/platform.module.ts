import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';

import type { Health } from './health.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';

export const LOGGER = Symbol('Logger');
export const METRICS = Symbol('Metrics');
export const HEALTH = Symbol('Health');

/** What every service has one of. */
export interface Platform {
  readonly service: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
}

@Module({})
export class PlatformModule {
  static forRoot({ logger, metrics, health }: Platform): DynamicModule {
    return {
      module: PlatformModule,
      global: true,
      providers: [
        { provide: LOGGER, useValue: logger },
        { provide: METRICS, useValue: metrics },
        { provide: HEALTH, useValue: health },
      ],
      exports: [LOGGER, METRICS, HEALTH],
    };
  }
}
