import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { TOPIC } from '@heddle/contracts';
import type { ManifestFile, RecipeReceivedV1 } from '@heddle/contracts';
import type { EventBatch } from '@heddle/messaging';
import { OutboxRelay, enqueue, inTransaction, movePositions } from '@heddle/persistence';
import { DataSource } from 'typeorm';

import { manifestsOfUploads } from '../files/file.repository.js';
import { Linker } from '../links/linker.js';
import { distinctRecipes, insertPlaceholders } from '../orders/order.repository.js';
import { StoreMetrics } from '../operations/store-metrics.js';
import { SCHEMA } from '../schema/migrations.js';
import { PUBLIC_URL } from '../tokens.js';

import { factsOf } from './document-facts.js';
import { foldRecipes } from './fold-recipes.js';
import type { RecipeMessage } from './fold-recipes.js';
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
      const heads = await lockRecipes(tx, names);
      const withFiles = heads.filter(({ uploads }) => uploads > 0);
      const uploads = await manifestsOfUploads(tx, withFiles, this.publicUrl);
      const folded = foldRecipes(
        heads,
        messages.map((message) => withUploads(message, uploads)),
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

/** The document lists linked files; those that were uploaded come behind them. */
function withUploads(message: RecipeMessage, uploads: ReadonlyMap<string, ManifestFile[]>): RecipeMessage {
  const { data, facts } = message;
  const files = uploads.get(`${data.tenant}:${data.recipeId}`);
  return files === undefined
    ? message
    : { ...message, facts: { ...facts, files: [...facts.files, ...files] } };
}
