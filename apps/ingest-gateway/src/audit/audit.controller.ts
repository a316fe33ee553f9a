import { Controller, Get, Inject, Req, UseFilters } from '@nestjs/common';
import type { z } from 'zod';

import { ACCESS_SCHEMA } from '@heddle/access';
import { AuditPage, AuditQuery } from '@heddle/contracts';
import { DatabaseProblemFilter, listAudit } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError, parseQuery } from '@heddle/platform';

import { DATA_SOURCE } from '../database.js';
import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { queryOf } from '../http/query.js';
import { UPSTREAMS } from '../upstream/upstream.js';
import type { Upstreams } from '../upstream/upstream.js';

import { mergedAudit } from './merged-audit.js';
import type { AuditSource } from './merged-audit.js';

/** One audit out of two: that of keys, which is kept here, and the dispatcher's. */
@Controller('api/v2/audit')
@UseFilters(DatabaseProblemFilter)
export class AuditController {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(UPSTREAMS) private readonly upstreams: Upstreams,
  ) {}

  @Get()
  async list(@Req() request: GatewayRequest): Promise<z.output<typeof AuditPage>> {
    const { tenant } = callerOf(request);
    const { limit, cursor } = parseQuery(AuditQuery, queryOf(request));
    const page = await mergedAudit([this.ofKeys(tenant), this.ofDispatcher(request)], {
      limit,
      cursor,
      filters: ['merged audit', tenant],
    });
    return { items: [...page.items], nextCursor: page.nextCursor };
  }

  private ofKeys(tenant: string): AuditSource {
    return async ({ limit, cursor }) => {
      const page = await listAudit(this.dataSource, ACCESS_SCHEMA, { tenant, limit, cursor });
      return {
        items: page.items.map(({ auditId, at, actor, action, subject, details }) => ({
          auditId,
          at: at.toISOString(),
          actor,
          action,
          subject,
          details: { ...details },
        })),
        nextCursor: page.nextCursor,
      };
    };
  }

  private ofDispatcher(request: GatewayRequest): AuditSource {
    const { dispatcher } = this.upstreams;
    return async ({ limit, cursor }) => {
      const query = new URLSearchParams({
        limit: String(limit),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const answer = await dispatcher.call({
        method: 'GET',
        path: `/api/v2/audit?${query.toString()}`,
        caller: callerOf(request),
        requestId: request.id,
      });
      const page = AuditPage.safeParse(await dispatcher.json(answer));
      if (answer.statusCode === 200 && page.success) return page.data;
      throw new ProblemError(503, 'the dispatcher cannot show its audit at the moment, try again', {
        headers: { 'retry-after': '5' },
      });
    };
  }
}
