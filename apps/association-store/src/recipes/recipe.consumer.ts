import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { RECIPE_CREATED, RECIPE_UPDATED, TOPIC, recipeKey } from '@heddle/contracts';
import type { RecipeReceivedV1 } from '@heddle/contracts';
import type { EventBatch } from '@heddle/messaging';
import { OutboxRelay, enqueue, inTransaction, movePositions } from '@heddle/persistence';
import type { OutboxRow } from '@heddle/persistence';
import { childOf, newId } from '@heddle/platform';
import { DataSource } from 'typeorm';

import { Linker } from '../links/linker.js';
import { distinctRecipes, insertPlaceholders } from '../orders/order.repository.js';
import { StoreMetrics } from '../operations/store-metrics.js';
import { SCHEMA } from '../schema/migrations.js';
import { PUBLIC_URL } from '../tokens.js';

import { factsOf } from './document-facts.js';
import { foldRecipes, recipeDocument } from './fold-recipes.js';
import type { RecipeChange } from './fold-recipes.js';
import { lockRecipes, queueLinks, writeRecipes } from './recipe.repository.js';

/** Recipe documents as accepted, a chunk in a transaction. */
@Controller()
export class RecipeConsumer {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: OutboxRelay,
    private readonly linker: Linker,
    private readonly metrics: StoreMetrics,
    @Inject(PUBLIC_URL) private readonly publicUrl: URL,
  ) {}

  @EventPattern(TOPIC.recipeReceived)
  async received(@Payload() batch: EventBatch<RecipeReceivedV1>): Promise<undefined> {
    // Parsing and hashing hold no connection.
    const read = batch.events.map((event) => ({ event, facts: factsOf(event.data, this.publicUrl) }));
    const result = await inTransaction(this.dataSource, async (tx) => {
      const isFresh = await movePositions(tx, SCHEMA, batch.chunks);
      const messages = read
        .filter(({ event }) => isFresh(event))
        .map(({ event: { offset, originOffset, traceparent, data }, facts }) => ({
          offset: BigInt(originOffset ?? offset),
          replayed: originOffset !== undefined,
          traceparent,
          data,
          facts,
        }));
      if (messages.length === 0) return undefined;

      const now = new Date();
      const names = distinctRecipes(messages.map(({ data }) => data));
      insertPlaceholders(tx, names, now);
      const folded = foldRecipes(await lockRecipes(tx, names), messages);
      writeRecipes(tx, folded, now);
      enqueue(
        tx,
        SCHEMA,
        folded.changes.map((change) => eventOf(change, now)),
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

function eventOf(change: RecipeChange, now: Date): OutboxRow {
  const { tenant, recipeId } = change.message.data;
  const time = now.toISOString();
  return {
    topic: change.topic,
    key: recipeKey(tenant, recipeId),
    id: newId(),
    type: change.topic === 'recipe.created' ? RECIPE_CREATED : RECIPE_UPDATED,
    time,
    subject: recipeId,
    tenant,
    traceparent: childOf(change.message.traceparent),
    data: JSON.stringify(recipeDocument(change, time)),
  };
}
