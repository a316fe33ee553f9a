import { Controller, Get, Inject, UseFilters, UseGuards } from '@nestjs/common';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import type { DispatcherStatus } from '@heddle/contracts';
import { readConsumerLag } from '@heddle/messaging';
import { DatabaseProblemFilter } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

import { DATA_SOURCE } from '../tokens.js';

import { countLastDay, countOpen, openBreakers } from './status.queries.js';

/** The dispatcher's part of what the gateway says of the hub. */
@Controller('internal/status')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('orders:read')
export class StatusController {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(METRICS) private readonly metrics: Metrics,
  ) {}

  @Get()
  async read(@Caller() caller: Caller): Promise<DispatcherStatus> {
    const [deliveries, lastDay, breakers, lag] = await Promise.all([
      countOpen(this.dataSource, caller),
      countLastDay(this.dataSource, caller, new Date()),
      openBreakers(this.dataSource, caller),
      readConsumerLag(this.metrics),
    ]);
    return { deliveries, lastDay, breakers, lag };
  }
}
