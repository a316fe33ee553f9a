import { Controller, Get, Inject, UseFilters, UseGuards } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import type { StoreStatus } from '@heddle/contracts';
import { readConsumerLag } from '@heddle/messaging';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

import { countWaiting } from './status.queries.js';

/** The store's part of what the gateway says of the hub. */
@Controller('internal/status')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('orders:read')
export class StatusController {
  constructor(
    private readonly dataSource: DataSource,
    @Inject(METRICS) private readonly metrics: Metrics,
  ) {}

  @Get()
  async read(@Caller() caller: Caller): Promise<StoreStatus> {
    const [waitingForRecipe, lag] = await Promise.all([
      countWaiting(this.dataSource, caller),
      readConsumerLag(this.metrics),
    ]);
    return { waitingForRecipe, lag };
  }
}
