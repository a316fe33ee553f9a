import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { TOPIC } from '@heddle/contracts';
import type { OrderChangedV1, RecipeSavedV1, Trigger } from '@heddle/contracts';
import type { BatchResult, EventBatch, ReceivedEvent } from '@heddle/messaging';

import { OfferPump } from '../offers/offer.pump.js';
import { OUTBOX } from '../tokens.js';
import type { Outbox } from '../tokens.js';

import { EventRepository } from './event.repository.js';
import type { PlacedFact } from './event.repository.js';
import { orderFact, recipeFact } from './fact.js';

/** What starts integrations. An error is the messaging library's to judge. */
@Controller()
export class EventConsumer {
  constructor(
    @Inject(EventRepository) private readonly events: EventRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(OUTBOX) private readonly outbox: Outbox,
  ) {}

  @EventPattern(TOPIC.orderSubmitted)
  async submitted(@Payload() batch: EventBatch<OrderChangedV1>): Promise<BatchResult> {
    return await this.orders('order.submitted', batch);
  }

  @EventPattern(TOPIC.orderUpdated)
  async updated(@Payload() batch: EventBatch<OrderChangedV1>): Promise<BatchResult> {
    return await this.orders('order.updated', batch);
  }

  @EventPattern(TOPIC.orderCancelled)
  async cancelled(@Payload() batch: EventBatch<OrderChangedV1>): Promise<BatchResult> {
    return await this.orders('order.cancelled', batch);
  }

  @EventPattern(TOPIC.recipeCreated)
  async recipes(@Payload() batch: EventBatch<RecipeSavedV1>): Promise<BatchResult> {
    return await this.feed('recipe.created', batch);
  }

  @EventPattern(TOPIC.recipeUpdated)
  async updatedRecipes(@Payload() batch: EventBatch<RecipeSavedV1>): Promise<BatchResult> {
    return await this.feed('recipe.updated', batch);
  }

  private async feed(
    topic: 'recipe.created' | 'recipe.updated',
    batch: EventBatch<RecipeSavedV1>,
  ): Promise<BatchResult> {
    return await this.apply(
      batch,
      batch.events.map((event) => ({ ...recipeFact(topic, event), ...placeOf(event) })),
    );
  }

  private async orders(trigger: Trigger, batch: EventBatch<OrderChangedV1>): Promise<BatchResult> {
    return await this.apply(
      batch,
      batch.events.map((event) => ({ ...orderFact(trigger, event), ...placeOf(event) })),
    );
  }

  private async apply({ chunks }: EventBatch, facts: readonly PlacedFact[]): Promise<BatchResult> {
    const outcome = await this.events.apply(chunks, facts);
    if (outcome === 'ready') this.pump.nudge();
    else if (outcome === 'offered') this.outbox.nudge();
    return undefined;
  }
}

function placeOf({ partition, offset }: ReceivedEvent): Pick<PlacedFact, 'partition' | 'offset'> {
  return { partition, offset };
}
