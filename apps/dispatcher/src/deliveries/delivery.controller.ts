import {
  Controller,
  Get,
  Headers,
  HttpCode,
  Inject,
  Param,
  Post,
  Query,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { DeliveredOrdersQuery, DeliveriesQuery } from '@heddle/contracts';
import type { DeliveredOrders, DeliveryDetails, DeliverySummary } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, etagOfText, isUnchanged, parseQuery } from '@heddle/platform';

import { CancelService } from './cancel.service.js';
import { DeliveryRepository } from './delivery.repository.js';
import { readsSettings } from './reads-settings.js';

@Controller()
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('deliveries:read')
export class DeliveryController {
  constructor(
    @Inject(DeliveryRepository) private readonly deliveries: DeliveryRepository,
    @Inject(CancelService) private readonly cancelling: CancelService,
  ) {}

  @Get('api/v2/deliveries')
  async list(
    @Caller() { tenant, channel }: Caller,
    @Query() filters: unknown,
  ): Promise<{ items: DeliverySummary[]; nextCursor: string | null }> {
    return await this.deliveries.list({ tenant, channel }, parseQuery(DeliveriesQuery, filters));
  }

  @Get('api/v2/deliveries/:deliveryId')
  async read(
    @Caller() caller: Caller,
    @Param('deliveryId') id: string,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeliveryDetails | undefined> {
    const found = z.uuid().safeParse(id).success
      ? await this.deliveries.read(caller, id, { showsAddresses: readsSettings(caller) })
      : undefined;
    if (!found) throw new ProblemError(404, 'there is no such delivery');
    const etag = etagOfText(JSON.stringify(found));
    void reply.header('etag', etag);
    if (!isUnchanged(ifNoneMatch, etag)) return found;
    void reply.status(304);
    return undefined;
  }

  @Post('api/v2/deliveries/:deliveryId/cancel')
  @HttpCode(200)
  @RequirePermission('deliveries:trigger')
  async cancel(@Caller() caller: Caller, @Param('deliveryId') id: string): Promise<DeliveryDetails> {
    const found = z.uuid().safeParse(id).success ? await this.cancelling.cancel(caller, id) : undefined;
    if (!found) throw new ProblemError(404, 'there is no such delivery');
    return found;
  }

  /** For the gateway, which knows the orders themselves from the store. */
  @Get('internal/orders')
  async listOrders(@Caller() { tenant, channel }: Caller, @Query() asked: unknown): Promise<DeliveredOrders> {
    const found = await this.deliveries.ordersIn(
      { tenant, channel },
      parseQuery(DeliveredOrdersQuery, asked),
    );
    return { orderUids: [...found] };
  }

  /** A document that travelled in its offers and is too long for the link that leads to it. */
  @Get('internal/deliveries/:deliveryId/files/:name')
  async readDocument(
    @Caller() { tenant }: Caller,
    @Param('deliveryId') id: string,
    @Param('name') name: string,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const text = z.uuid().safeParse(id).success
      ? await this.deliveries.readDocument(tenant, id, name)
      : undefined;
    if (text === undefined) throw new ProblemError(404, 'there is no such file');
    // As bytes: a text would be given another content type with a charset.
    await reply.status(200).header('content-type', 'application/octet-stream').send(Buffer.from(text));
  }
}
