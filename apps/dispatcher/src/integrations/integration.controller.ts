import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Patch,
  Post,
  Query,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import {
  DESTINATION_KINDS,
  IntegrationDecision,
  IntegrationPatch,
  IntegrationsQuery,
  destinationSettings,
  jsonSchemaOf,
} from '@heddle/contracts';
import type { IntegrationTest, IntegrationVersionView, IntegrationView } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, parseInput, parseQuery } from '@heddle/platform';

import { IdempotencyKey } from '../http/input.js';
import { TestService } from '../tests/test.service.js';

import { IntegrationService } from './integration.service.js';
import type { Answer } from './integration.service.js';

const VersionsQuery = z.strictObject({
  limit: IntegrationsQuery.shape.limit,
  cursor: IntegrationsQuery.shape.cursor,
});

@Controller('api/v2/integrations')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('integrations:manage')
export class IntegrationController {
  constructor(
    @Inject(IntegrationService) private readonly integrations: IntegrationService,
    @Inject(TestService) private readonly tests: TestService,
  ) {}

  @Get()
  async list(
    @Caller() { tenant }: Caller,
    @Query() filters: unknown,
  ): Promise<{ items: IntegrationView[]; nextCursor: string | null }> {
    return await this.integrations.list(tenant, parseQuery(IntegrationsQuery, filters));
  }

  @Post()
  @HttpCode(201)
  async create(
    @Caller() caller: Caller,
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    const idempotencyKey = parseInput(IdempotencyKey, key, 'Idempotency-Key');
    return tagged(reply, await this.integrations.create(caller, body, idempotencyKey));
  }

  @Get(':integrationId')
  async read(
    @Caller() { tenant }: Caller,
    @Param('integrationId') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    return tagged(reply, await this.integrations.read(tenant, idOf(id)));
  }

  @Get(':integrationId/versions')
  async versions(
    @Caller() { tenant }: Caller,
    @Param('integrationId') id: string,
    @Query() page: unknown,
  ): Promise<{ items: IntegrationVersionView[]; nextCursor: string | null }> {
    return await this.integrations.versions(tenant, idOf(id), parseQuery(VersionsQuery, page));
  }

  @Patch(':integrationId')
  async patch(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Body() body: unknown,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    const patch = parseInput(IntegrationPatch, body);
    return tagged(reply, await this.integrations.patch(caller, idOf(id), patch, ifMatch));
  }

  @Delete(':integrationId')
  @HttpCode(204)
  async delete(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<void> {
    await this.integrations.delete(caller, idOf(id), ifMatch);
  }

  @Post(':integrationId/approve')
  @HttpCode(200)
  @RequirePermission('integrations:approve')
  async approve(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Body() body: unknown,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    const decision = parseInput(IntegrationDecision, body);
    return tagged(reply, await this.integrations.command(caller, idOf(id), 'approve', decision, ifMatch));
  }

  @Post(':integrationId/reject')
  @HttpCode(200)
  @RequirePermission('integrations:approve')
  async reject(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Body() body: unknown,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    const decision = parseInput(IntegrationDecision, body);
    return tagged(reply, await this.integrations.command(caller, idOf(id), 'reject', decision, ifMatch));
  }

  @Post(':integrationId/pause')
  @HttpCode(200)
  async pause(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    return tagged(reply, await this.integrations.command(caller, idOf(id), 'pause', undefined, ifMatch));
  }

  @Post(':integrationId/resume')
  @HttpCode(200)
  async resume(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    return tagged(reply, await this.integrations.command(caller, idOf(id), 'resume', undefined, ifMatch));
  }

  @Post(':integrationId/disable')
  @HttpCode(200)
  async disable(
    @Caller() caller: Caller,
    @Param('integrationId') id: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IntegrationView> {
    return tagged(reply, await this.integrations.command(caller, idOf(id), 'disable', undefined, ifMatch));
  }

  @Post(':integrationId/test')
  @HttpCode(200)
  async test(@Caller() caller: Caller, @Param('integrationId') id: string): Promise<IntegrationTest> {
    return await this.tests.test(caller, idOf(id));
  }
}

@Controller('api/v2/destinations')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission()
export class DestinationController {
  /** Each kind with the JSON Schema of its settings: what a form is made of. */
  @Get()
  list(): { items: { destination: string; settings: Record<string, unknown> }[] } {
    return {
      items: DESTINATION_KINDS.map((destination) => ({
        destination,
        settings: jsonSchemaOf(destinationSettings[destination].schema, 'input'),
      })),
    };
  }
}

function tagged(reply: FastifyReply, { view, etag }: Answer): IntegrationView {
  void reply.header('etag', etag);
  return view;
}

/** What is no id names nothing. */
function idOf(text: string): string {
  if (!z.uuid().safeParse(text).success) throw new ProblemError(404, 'there is no such integration');
  return text;
}
