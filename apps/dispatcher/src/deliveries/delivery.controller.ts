import { Controller, Get, Inject, Param, Query, UseGuards } from '@nestjs/common';
import { z } from 'zod';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { DeliveriesQuery } from '@heddle/contracts';
import type { DeliveryDetails, DeliverySummary } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';

import { parseQuery } from '../http/input.js';

import { DeliveryRepository } from './delivery.repository.js';

@Controller('api/v2/deliveries')
@UseGuards(ServiceTokenGuard)
@RequirePermission('deliveries:read')
export class DeliveryController {
  constructor(@Inject(DeliveryRepository) private readonly deliveries: DeliveryRepository) {}

  @Get()
  async list(
    @Caller() { tenant }: Caller,
    @Query() filters: unknown,
  ): Promise<{ items: DeliverySummary[]; nextCursor: string | null }> {
    return await this.deliveries.list(tenant, parseQuery(DeliveriesQuery, filters));
  }

  @Get(':deliveryId')
  async read(@Caller() { tenant }: Caller, @Param('deliveryId') id: string): Promise<DeliveryDetails> {
    const found = z.uuid().safeParse(id).success ? await this.deliveries.read(tenant, id) : undefined;
    if (!found) throw new ProblemError(404, 'there is no such delivery');
    return found;
  }
}
