import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Post,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { BulkTriggerRequest } from '@heddle/contracts';
import type { BulkTrigger, BulkTriggerAnswer, BulkTriggerPreview } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError } from '@heddle/platform';

import { readAsked } from './asked.js';
import { BulkService } from './bulk.service.js';

@Controller('api/v2/trigger/bulk')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('deliveries:trigger')
export class BulkController {
  constructor(@Inject(BulkService) private readonly bulks: BulkService) {}

  @Post()
  async trigger(
    @Caller() caller: Caller,
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BulkTriggerAnswer | BulkTriggerPreview> {
    const asked = readAsked(BulkTriggerRequest, { body, key }, reply);
    if (asked.request.dryRun) return await this.bulks.preview(caller, asked.request);
    return await this.bulks.create(caller, asked);
  }

  @Get(':bulkId')
  async read(@Caller() caller: Caller, @Param('bulkId') id: string): Promise<BulkTrigger> {
    return found(isId(id) ? await this.bulks.read(caller, id) : undefined);
  }

  @Post(':bulkId/cancel')
  @HttpCode(200)
  async cancel(@Caller() caller: Caller, @Param('bulkId') id: string): Promise<BulkTrigger> {
    return found(isId(id) ? await this.bulks.cancel(caller, id) : undefined);
  }
}

function isId(text: string): boolean {
  return z.uuid().safeParse(text).success;
}

function found(bulk: BulkTrigger | undefined): BulkTrigger {
  if (bulk === undefined) throw new ProblemError(404, 'there is no such bulk trigger');
  return bulk;
}
