import { Body, Controller, Headers, Inject, Post, Res, UseFilters, UseGuards } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { TriggerRequest } from '@heddle/contracts';
import type { TriggerAnswer, TriggerPreview } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';

import { readAsked } from './asked.js';
import { TriggerService } from './trigger.service.js';

@Controller('api/v2/trigger')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('deliveries:trigger')
export class TriggerController {
  constructor(@Inject(TriggerService) private readonly triggers: TriggerService) {}

  @Post()
  async trigger(
    @Caller() caller: Caller,
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TriggerAnswer | TriggerPreview> {
    const asked = readAsked(TriggerRequest, { body, key }, reply);
    if (asked.request.dryRun) return await this.triggers.preview(caller, asked.request);
    return await this.triggers.trigger(caller, asked);
  }
}
