import { Controller, Get, Inject, Query, UseFilters, UseGuards } from '@nestjs/common';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { AuditQuery } from '@heddle/contracts';
import type { AuditEntry } from '@heddle/contracts';
import { DatabaseProblemFilter, listAudit } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { parseQuery } from '@heddle/platform';

import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE } from '../tokens.js';

/** What was done to integrations. The gateway shows it together with its own entries. */
@Controller('api/v2/audit')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('admin')
export class AuditController {
  constructor(@Inject(DATA_SOURCE) private readonly dataSource: DataSource) {}

  @Get()
  async list(
    @Caller() { tenant }: Caller,
    @Query() page: unknown,
  ): Promise<{ items: AuditEntry[]; nextCursor: string | null }> {
    const { limit, cursor } = parseQuery(AuditQuery, page);
    const { items, nextCursor } = await listAudit(this.dataSource, SCHEMA, { tenant, limit, cursor });
    return {
      items: items.map(({ auditId, at, actor, action, subject, details }) => ({
        auditId,
        at: at.toISOString(),
        actor,
        action,
        subject,
        details,
      })),
      nextCursor,
    };
  }
}
