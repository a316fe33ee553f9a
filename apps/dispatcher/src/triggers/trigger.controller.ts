import { Body, Controller, Headers, Inject, Post, Res, UseFilters, UseGuards } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { TriggerRequest } from '@heddle/contracts';
import type { TriggerAnswer, TriggerPreview } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { parseInput } from '@heddle/platform';

import { IdempotencyKey } from '../http/input.js';

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
    const request = parseInput(TriggerRequest, body);
    const idempotencyKey = parseInput(IdempotencyKey, key, 'Idempotency-Key');
    void reply.status(request.dryRun ? 200 : 202);
    if (request.dryRun) return await this.triggers.preview(caller, request);
    return await this.triggers.trigger(caller, request, idempotencyKey);
  }
}
