import { Controller, Get, Headers, Param, Query, Res, UseFilters, UseGuards } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { DataSource } from 'typeorm';
import { z } from 'zod';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { ChosenOrdersQuery, StoredOrdersQuery } from '@heddle/contracts';
import type { OrderView, OrderWithVersions } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, isUnchanged, parseQuery } from '@heddle/platform';

import { chosenOrders, findOrder, listOrders } from './order.queries.js';

@Controller('api/v2/orders')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('orders:read')
export class OrderController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async list(
    @Caller() { tenant, channel }: Caller,
    @Query() query: unknown,
  ): Promise<{ items: OrderView[]; nextCursor: string | null }> {
    return await listOrders(this.dataSource, { tenant, channel }, parseQuery(StoredOrdersQuery, query));
  }

  @Get(':orderUid')
  async read(
    @Caller() { tenant, channel }: Caller,
    @Param('orderUid') orderUid: string,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrderWithVersions | undefined> {
    const order = z.uuid().safeParse(orderUid).success
      ? await findOrder(this.dataSource, { tenant, channel }, orderUid)
      : undefined;
    if (order === undefined) throw new ProblemError(404, 'there is no such order');
    const etag = `"${order.orderUid}.${String(order.version)}"`;
    void reply.header('etag', etag);
    if (!isUnchanged(ifNoneMatch, etag)) return order;
    void reply.status(304);
    return undefined;
  }
}

/** For the gateway, which knows the orders from elsewhere. */
@Controller('internal/orders')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('orders:read')
export class ChosenOrderController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async list(
    @Caller() { tenant, channel }: Caller,
    @Query() query: unknown,
  ): Promise<{ items: OrderView[] }> {
    const asked = parseQuery(ChosenOrdersQuery, query);
    return { items: await chosenOrders(this.dataSource, { tenant, channel }, asked) };
  }
}
