import { Controller, Get, Headers, Inject, Param, Query, Res, UseFilters, UseGuards } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { DataSource } from 'typeorm';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { RecipeId, RecipesQuery, TicketQuery } from '@heddle/contracts';
import type { PreviewPlace, PreviewType, RecipeView, TicketPaper } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, isUnchanged, parseQuery } from '@heddle/platform';

import type { Hub } from '../hub.js';
import { sendTicket } from '../tickets/ticket.controller.js';
import { TicketService } from '../tickets/ticket.service.js';
import { HUB, TICKET_PAPER } from '../tokens.js';

import { findPreview } from './find-preview.js';
import { listRecipes } from './recipe.queries.js';
import { findDocument } from './recipe.repository.js';
import type { StoredDocument } from './recipe.repository.js';

/** Of a public address: what is about an order stands in links alone. */
const PaperQuery = TicketQuery.pick({ paper: true });
const NOT_FOUND = 'there is no such recipe';

/** Recipe documents, exactly as they were sent, and the tickets drawn of them. */
@Controller()
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('recipes:read')
export class RecipeController {
  constructor(
    private readonly dataSource: DataSource,
    private readonly tickets: TicketService,
    @Inject(TICKET_PAPER) private readonly paper: TicketPaper,
    @Inject(HUB) private readonly hub: Hub,
  ) {}

  @Get('api/v2/recipes')
  async list(
    @Caller() { tenant, channel }: Caller,
    @Query() query: unknown,
  ): Promise<{ items: RecipeView[]; nextCursor: string | null }> {
    const asked = parseQuery(RecipesQuery, query);
    return await listRecipes(this.dataSource, { tenant, channel }, asked, this.hub);
  }

  /** The newest version. */
  @Get('recipe/:file')
  async read(
    @Caller() { tenant }: Caller,
    @Param('file') file: string,
    @Query() query: unknown,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (file.endsWith('.pdf')) {
      const { paper = this.paper } = parseQuery(PaperQuery, query);
      const recipeId = file.slice(0, -'.pdf'.length);
      await sendTicket(this.tickets, { tenant, recipeId, order: null, paper }, ifNoneMatch, reply);
      return;
    }
    const recipeId = file.endsWith('.json') ? file.slice(0, -'.json'.length) : '';
    await this.answer(reply, { tenant, recipeId, ifNoneMatch });
  }

  /** For the gateway, which streams what is there: the path in the hub or the address of a source. */
  @Get('internal/previews/:tenant/:file')
  async preview(
    @Caller() caller: Caller,
    @Param('tenant') tenant: string,
    @Param('file') file: string,
  ): Promise<PreviewPlace> {
    const [, stem, type] = /^(.+)\.(png|jpg)$/su.exec(file) ?? [];
    const found =
      caller.tenant === tenant && stem !== undefined
        ? await findPreview(this.dataSource, { tenant, stem, type: type as PreviewType }, this.hub)
        : undefined;
    if (found === undefined) throw new ProblemError(404, 'there is no such preview');
    return found;
  }

  /** One version, for workers: what a delivery's event names. */
  @Get('internal/recipes/:tenant/:recipeId/:version')
  async readVersion(
    @Caller() caller: Caller,
    @Param('tenant') tenant: string,
    @Param('recipeId') recipeId: string,
    @Param('version') version: string,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (caller.tenant !== tenant || !/^[1-9][0-9]{0,8}$/.test(version)) {
      throw new ProblemError(404, NOT_FOUND);
    }
    await this.answer(reply, { tenant, recipeId, version: Number(version), ifNoneMatch });
  }

  private async answer(
    reply: FastifyReply,
    asked: {
      readonly tenant: string;
      readonly recipeId: string;
      readonly version?: number;
      readonly ifNoneMatch: string | undefined;
    },
  ): Promise<void> {
    const found: StoredDocument | undefined = RecipeId.safeParse(asked.recipeId).success
      ? await findDocument(this.dataSource, asked, asked.version)
      : undefined;
    if (found === undefined) throw new ProblemError(404, NOT_FOUND);
    const etag = `"${found.sha256}"`;
    void reply.header('etag', etag);
    if (isUnchanged(asked.ifNoneMatch, etag)) {
      await reply.status(304).send();
      return;
    }
    // As bytes: a text would be given another content type with a charset.
    await reply.status(200).header('content-type', 'application/json').send(Buffer.from(found.document));
  }
}
