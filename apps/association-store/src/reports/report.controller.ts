import { Controller, Get, Query, UseFilters, UseGuards } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { ConversionsQuery } from '@heddle/contracts';
import type { ConversionsReport } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { parseQuery } from '@heddle/platform';

import { countConversions } from './conversions.js';

@Controller('api/v2/reports')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('orders:read')
export class ReportController {
  constructor(private readonly dataSource: DataSource) {}

  @Get('conversions')
  async conversions(
    @Caller() { tenant, channel }: Caller,
    @Query() query: unknown,
  ): Promise<ConversionsReport> {
    const asked = parseQuery(ConversionsQuery, query);
    return await countConversions(this.dataSource, { tenant, channel }, asked, new Date());
  }
}
