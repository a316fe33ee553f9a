import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { TOPIC } from '@heddle/contracts';
import type { RecipeReceivedV1 } from '@heddle/contracts';
import type { EventBatch } from '@heddle/messaging';
import { OutboxRelay, enqueue, inTransaction, movePositions } from '@heddle/persistence';
import { DataSource } from 'typeorm';

import { manifestsOfUploads } from '../files/file.repository.js';
import type { Hub } from '../hub.js';
import { Linker } from '../links/linker.js';
import { distinctRecipes, insertPlaceholders } from '../orders/order.repository.js';
import { StoreMetrics } from '../operations/store-metrics.js';
import { SCHEMA } from '../schema/migrations.js';
import { HUB } from '../tokens.js';

import { factsOf, readDocument } from './document-facts.js';
import { foldRecipes } from './fold-recipes.js';
import { recipeEvent } from './recipe-event.js';
import { lockRecipes, queueLinks, writeRecipes } from './recipe.repository.js';

/** Recipe documents as accepted, a chunk in a transaction. */
@Controller()
export class RecipeConsumer {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: OutboxRelay,
    private readonly linker: Linker,
    private readonly metrics: StoreMetrics,
    @Inject(HUB) private readonly hub: Hub,
  ) {}

  @EventPattern(TOPIC.recipeReceived)
  async received(@Payload() batch: EventBatch<RecipeReceivedV1>): Promise<undefined> {
    // Parsing and hashing hold no connection.
    const read = batch.events.map((event) => ({ event, document: readDocument(event.data, this.hub) }));
    const result = await inTransaction(this.dataSource, async (tx) => {
      const isFresh = await movePositions(tx, SCHEMA, batch.chunks);
      const fresh = read.filter(({ event }) => isFresh(event));
      if (fresh.length === 0) return undefined;

      const now = new Date();
      const names = distinctRecipes(fresh.map(({ event }) => event.data));
      insertPlaceholders(tx, names, now);
      const heads = await lockRecipes(tx, names);
      const withFiles = heads.filter(({ uploads }) => uploads > 0);
      const uploads = await manifestsOfUploads(tx, withFiles, this.hub);
      const folded = foldRecipes(
        heads,
        fresh.map(({ event: { offset, originOffset, traceparent, data }, document }) => {
          const { tenant, recipeId } = data;
          const files = uploads.get(`${tenant}:${recipeId}`) ?? [];
          return {
            offset: BigInt(originOffset ?? offset),
            replayed: originOffset !== undefined,
            traceparent,
            data,
            facts: factsOf(document, files, { recipeId, hub: this.hub }),
          };
        }),
      );
      writeRecipes(tx, folded, now);
      enqueue(
        tx,
        SCHEMA,
        folded.changes.map((change) => recipeEvent(change, now)),
      );
      const linksQueued = await queueLinks(tx, folded, now);
      return { folded, linksQueued };
    });
    if (result === undefined) return;
    const { folded, linksQueued } = result;
    if (folded.changes.length > 0) this.relay.nudge();
    if (linksQueued > 0) this.linker.nudge();
    this.metrics.noted('outdated', folded.outdated);
    for (const { topic } of folded.changes) this.metrics.recipeSaved(topic);
  }
}
