import { createHash } from 'node:crypto';

import { Inject, Injectable } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';

import type { TicketPaper } from '@heddle/contracts';
import { UrlSources } from '@heddle/destination-kit';
import { readRecipe } from '@heddle/pick-ticket';
import type { TicketInput, TicketOrder } from '@heddle/pick-ticket';
import { LOGGER, ProblemError, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import type { StoredContent } from '../files/file.repository.js';
import type { Hub } from '../hub.js';
import { foreignAddress, viewCodes } from '../recipes/manifest.js';
import { findDocument } from '../recipes/recipe.repository.js';
import type { StoredDocument } from '../recipes/recipe.repository.js';
import { HUB } from '../tokens.js';

import { MAX_PREVIEWS_BYTES, PreviewSource } from './preview-source.js';
import { TicketThreads } from './ticket-threads.js';
import { TicketMetrics } from './ticket.metrics.js';
import type { TicketOutcome } from './ticket.metrics.js';
import { NoTurnLeft, Turns } from './turns.js';
import { UploadedPreviews } from './uploaded-previews.js';

export interface AskedTicket {
  readonly tenant: string;
  readonly recipeId: string;
  /** The newest where it is missing. */
  readonly version?: number;
  readonly order: TicketOrder | null;
  readonly paper: TicketPaper;
}

export interface Ticket {
  readonly bytes: Buffer;
  /** Of the bytes, in quotes. */
  readonly etag: string;
}

/** Every destination of an order asks for the same ticket at about the same time, and a client that has it asks again. */
const KEPT_BYTES = 16 * 1024 * 1024;
const KEPT_MS = 10 * 60_000;
/** A preview that is missing now may come. */
const INCOMPLETE_KEPT_MS = 15_000;
/** What cannot be drawn is not tried at each request. */
const FAILURE_KEPT_MS = 60_000;
/** Tickets whose previews are fetched: each holds at most the bytes of its previews. */
const FETCHING_AT_ONCE = 24;
const MOST_WAITING = 500;

/** Pick tickets, drawn when they are asked for. */
@Injectable()
export class TicketService implements OnApplicationShutdown {
  private readonly kept = new LRUCache<string, Ticket>({
    maxSize: KEPT_BYTES,
    sizeCalculation: ({ bytes }) => bytes.length,
    ttl: KEPT_MS,
  });
  private readonly failed = new LRUCache<string, true>({ max: 1_000, ttl: FAILURE_KEPT_MS });
  private readonly drawing = new Map<string, Promise<Ticket>>();
  private readonly fetching = new Turns(FETCHING_AT_ONCE, MOST_WAITING);

  constructor(
    private readonly dataSource: DataSource,
    private readonly threads: TicketThreads,
    private readonly uploads: UploadedPreviews,
    private readonly previews: PreviewSource,
    private readonly sources: UrlSources,
    private readonly metrics: TicketMetrics,
    @Inject(HUB) private readonly hub: Hub,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * @returns undefined when there is no such recipe or version.
   * @throws {ProblemError} 503 while too many are asked for; 422 for one that cannot be drawn, which is said in the log.
   */
  async find(asked: AskedTicket): Promise<Ticket | undefined> {
    const document = await findDocument(this.dataSource, asked, asked.version);
    if (document === undefined) return undefined;
    const { tenant, recipeId, order, paper } = asked;
    const key = JSON.stringify([tenant, recipeId, document.version, document.sha256, order, paper]);
    const kept = this.kept.get(key);
    if (kept !== undefined) return kept;
    if (this.failed.has(key)) throw cannotBeDrawn();
    let drawing = this.drawing.get(key);
    if (drawing === undefined) {
      drawing = this.draw(key, asked, document).finally(() => this.drawing.delete(key));
      this.drawing.set(key, drawing);
    }
    return await drawing;
  }

  async onApplicationShutdown(): Promise<void> {
    this.sources.close();
    await this.threads.close();
  }

  private async draw(key: string, asked: AskedTicket, document: StoredDocument): Promise<Ticket> {
    const startedAt = performance.now();
    const ended = (outcome: TicketOutcome): void =>
      this.metrics.ended(outcome, (performance.now() - startedAt) / 1_000);
    const { recipeId, order, paper } = asked;
    const content = JSON.parse(document.document) as unknown;
    const addresses = readRecipe(content).views.map(({ previewAddresses }) =>
      previewAddresses.flatMap((address) => foreignAddress(address, this.hub) ?? []),
    );
    const { version } = document;
    // A document may list more views than a ticket shows.
    const views = viewCodes(content).slice(0, addresses.length);
    const contents = await this.uploads.find({ ...asked, version }, views);
    try {
      const previews = await this.fetching.take(() => this.previewsOf(contents, addresses));
      const missing = previews.filter(
        (image, at) => image === null && (contents[at] !== undefined || (addresses[at] ?? []).length > 0),
      ).length;
      this.metrics.previewsMissing(missing);
      const input = {
        recipeId,
        version,
        document: document.document,
        order,
        paper,
        previews,
      };
      const { bytes, isPlain } = await this.drawSomehow(input, asked);
      ended(isPlain ? 'plain' : 'drawn');
      const ticket = { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url')}"` };
      this.kept.set(key, ticket, missing > 0 || isPlain ? { ttl: INCOMPLETE_KEPT_MS } : {});
      return ticket;
    } catch (error) {
      if (error instanceof NoTurnLeft) {
        ended('refused');
        throw new ProblemError(503, 'too many tickets are asked for at the moment, try again', {
          headers: { 'retry-after': '2' },
          cause: error,
        });
      }
      ended('failed');
      this.failed.set(key, true);
      throw cannotBeDrawn(error);
    }
  }

  /** The uploaded ones, and for the other views what somebody else serves. */
  private async previewsOf(
    contents: readonly (StoredContent | undefined)[],
    addresses: readonly (readonly string[])[],
  ): Promise<readonly (Buffer | null)[]> {
    const uploaded = await this.uploads.read(contents);
    const sizeBytes = uploaded.reduce((sum, image) => sum + (image?.length ?? 0), 0);
    const linked = await this.previews.fetch(
      addresses.map((each, index) => (Buffer.isBuffer(uploaded[index]) ? [] : each)),
      MAX_PREVIEWS_BYTES - sizeBytes,
    );
    return linked.map((image, index) => uploaded[index] ?? image);
  }

  /** What is wrong with a picture must not keep people from their work: the second try shows none. */
  private async drawSomehow(
    input: TicketInput,
    { tenant }: AskedTicket,
  ): Promise<{ readonly bytes: Buffer; readonly isPlain: boolean }> {
    const fields = { tenant_id: tenant, recipe_id: input.recipeId, recipe_version: input.version };
    try {
      return { bytes: await this.threads.draw(input), isPlain: false };
    } catch (error) {
      if (error instanceof NoTurnLeft) throw error;
      const hasPreviews = input.previews.some((image) => image !== null);
      this.logger.error(
        { ...fields, again_without_previews: hasPreviews, err: describeError(error) },
        'ticket.failed',
      );
      if (!hasPreviews) throw error;
    }
    try {
      return { bytes: await this.threads.draw({ ...input, previews: [] }), isPlain: true };
    } catch (error) {
      if (!(error instanceof NoTurnLeft))
        this.logger.error(
          { ...fields, again_without_previews: false, err: describeError(error) },
          'ticket.failed',
        );
      throw error;
    }
  }
}

function cannotBeDrawn(cause?: unknown): ProblemError {
  return new ProblemError(422, 'the ticket of this recipe cannot be drawn', { cause });
}
