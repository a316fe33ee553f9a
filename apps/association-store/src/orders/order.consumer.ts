import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { CANCELLATION_RECEIVED, TOPIC, recipeKey } from '@heddle/contracts';
import type { AssociationReceivedV1, CancellationReceivedV1 } from '@heddle/contracts';
import type { EventBatch, ReceivedEvent } from '@heddle/messaging';
import { OutboxRelay, inTransaction, movePositions } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';
import { LOGGER, newId } from '@heddle/platform';
import type { Logger } from '@heddle/platform';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';

import { StoreMetrics } from '../operations/store-metrics.js';
import { SCHEMA } from '../schema/migrations.js';

import { foldOrders } from './fold-orders.js';
import type { FoldResult } from './fold-orders.js';
import {
  MAX_EVENTS_BYTES,
  TooMuchAtOnceError,
  distinctRecipes,
  insertPlaceholders,
  lockOrdersByName,
  recipesOf,
  shareRecipes,
  writeOrders,
} from './order.repository.js';
import { orderNameKey } from './order-state.js';
import type { OrderMessage } from './order-state.js';

type OrderReceived = ReceivedEvent<AssociationReceivedV1 | CancellationReceivedV1>;
type OrderBatch = EventBatch<AssociationReceivedV1 | CancellationReceivedV1>;

/** What upstreams say about orders, a chunk in a transaction. */
@Controller()
export class OrderConsumer {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: OutboxRelay,
    private readonly metrics: StoreMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Recipes that have a row: their placeholder need not be tried again. Only a short cut: a recipe that was purged
   * since fails the transaction, and the next try starts without it.
   */
  private readonly placed = new LRUCache<string, true>({ max: 50_000 });

  @EventPattern(TOPIC.orderReceived)
  async received(@Payload() batch: OrderBatch): Promise<undefined> {
    try {
      const outcome = await inTransaction(this.dataSource, (tx) => this.take(tx, batch));
      if (outcome === undefined) return;
      if (outcome.result.changes.length > 0) this.relay.nudge();
      for (const { tenant, item } of outcome.result.items) {
        this.placed.set(recipeKey(tenant, item.recipeId), true);
      }
      this.tell(outcome.result, outcome.leftOut);
    } catch (error) {
      if (error instanceof TooMuchAtOnceError && batch.events.length > 1) {
        await this.inParts(batch);
        return;
      }
      this.placed.clear();
      throw error;
    }
  }

  /** Many messages about one large order: each event carries all of it. Each part has its own position. */
  private async inParts({ topic, chunks, events }: OrderBatch): Promise<void> {
    for (const chunk of chunks) {
      const own = events.filter(({ partition }) => partition === chunk.partition);
      if (chunks.length > 1) {
        await this.received({ topic, chunks: [chunk], events: own });
        continue;
      }
      const middle = Math.ceil(own.length / 2);
      const cut = own[middle]?.offset ?? chunk.nextOffset;
      await this.received({ topic, chunks: [{ ...chunk, nextOffset: cut }], events: own.slice(0, middle) });
      await this.received({ topic, chunks: [{ ...chunk, firstOffset: cut }], events: own.slice(middle) });
    }
  }

  private async take(
    tx: Tx,
    batch: OrderBatch,
  ): Promise<{ result: FoldResult; leftOut: number } | undefined> {
    const fresh = batch.events.filter(await movePositions(tx, SCHEMA, batch.chunks));
    if (fresh.length === 0) return undefined;

    const names = new Map(
      fresh.map(({ data: { tenant, channel, orderNumber } }) => {
        const name = { tenant, channel, orderNumber };
        return [orderNameKey(name), name];
      }),
    );
    const known = await lockOrdersByName(tx, [...names.values()]);
    const result = foldOrders(known, fresh.map(toMessage), newId);
    const now = new Date();
    const unplaced = result.items
      .map(({ tenant, item: { recipeId } }) => ({ tenant, recipeId }))
      .filter(({ tenant, recipeId }) => !this.placed.has(recipeKey(tenant, recipeId)));
    insertPlaceholders(tx, distinctRecipes(unplaced), now);
    const recipes = await shareRecipes(tx, recipesOf([...result.newOrders, ...result.changedOrders]));
    // What cannot be cut has to pass.
    const maxBytes = batch.events.length > 1 ? MAX_EVENTS_BYTES : Infinity;
    return { result, leftOut: writeOrders(tx, result, recipes, now, maxBytes) };
  }

  /** After the commit: what is rolled back is neither counted nor logged. */
  private tell({ changes, noted }: FoldResult, leftOut: number): void {
    this.metrics.orderChanges(changes, leftOut);
    this.metrics.noted('joined-newest', noted.joinedNewest);
    this.metrics.noted('outdated', noted.outdated);
    for (const [orderUid, associations] of noted.beyondLimit) {
      this.metrics.noted('beyond-limit', associations);
      this.logger.error({ order_uid: orderUid, associations }, 'order.too-many-items');
    }
    if (leftOut > 0) this.logger.error({ file_lists: leftOut }, 'order.document-too-large');
  }
}

function toMessage({ type, data, offset, originOffset, traceparent }: OrderReceived): OrderMessage {
  const place = {
    offset: BigInt(originOffset ?? offset),
    replayed: originOffset !== undefined,
    traceparent,
  };
  return type === CANCELLATION_RECEIVED
    ? { kind: 'cancellation', data: data, ...place }
    : { kind: 'associations', data: data as AssociationReceivedV1, ...place };
}
