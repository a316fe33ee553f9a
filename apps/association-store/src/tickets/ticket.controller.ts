import { Controller, Get, Headers, Inject, Param, Query, Res, UseFilters, UseGuards } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { RecipeId, TicketQuery } from '@heddle/contracts';
import type { TicketPaper } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, isUnchanged, parseQuery } from '@heddle/platform';

import { TICKET_PAPER } from '../tokens.js';

import { TicketService } from './ticket.service.js';
import type { AskedTicket } from './ticket.service.js';

const NOT_FOUND = 'there is no such recipe';

/** Pick tickets with what a delivery says of an order, for workers and links. */
@Controller('internal/tickets')
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('recipes:read')
export class TicketController {
  constructor(
    private readonly tickets: TicketService,
    @Inject(TICKET_PAPER) private readonly paper: TicketPaper,
  ) {}

  @Get(':tenant/:recipeId/:file')
  async read(
    @Caller() caller: Caller,
    @Param('tenant') tenant: string,
    @Param('recipeId') recipeId: string,
    @Param('file') file: string,
    @Query() query: unknown,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const version = /^([1-9][0-9]{0,8})\.pdf$/.exec(file)?.[1];
    if (caller.tenant !== tenant || version === undefined) throw new ProblemError(404, NOT_FOUND);
    const { orderNumber, orderId, quantity, item, moreItems, paper } = parseQuery(TicketQuery, query);
    const order =
      orderNumber === undefined
        ? null
        : { orderNumber, orderId: orderId ?? null, quantity, items: item, moreItems };
    await sendTicket(
      this.tickets,
      { tenant, recipeId, version: Number(version), order, paper: paper ?? this.paper },
      ifNoneMatch,
      reply,
    );
  }
}

export async function sendTicket(
  tickets: TicketService,
  asked: AskedTicket,
  ifNoneMatch: string | undefined,
  reply: FastifyReply,
): Promise<void> {
  const ticket = RecipeId.safeParse(asked.recipeId).success ? await tickets.find(asked) : undefined;
  if (ticket === undefined) throw new ProblemError(404, NOT_FOUND);
  void reply.header('etag', ticket.etag);
  if (isUnchanged(ifNoneMatch, ticket.etag)) {
    await reply.status(304).send();
    return;
  }
  await reply
    .status(200)
    .headers({
      'content-type': 'application/pdf',
      // An id is of characters that need no quoting.
      'content-disposition': `inline; filename="${asked.recipeId}-Ticket.pdf"`,
    })
    .send(ticket.bytes);
}
