import type { z } from 'zod';

import { DESTINATION_KINDS } from './destinations/destination-kind.js';
import type { DestinationKind } from './destinations/destination-kind.js';
import { ASSOCIATION_RECEIVED, AssociationReceivedV1 } from './events/association-received.v1.js';
import { CANCELLATION_RECEIVED, CancellationReceivedV1 } from './events/cancellation-received.v1.js';
import { DELIVERY_ATTEMPTED, DeliveryAttemptedV1 } from './events/delivery-attempted.v1.js';
import { DELIVERY_FAILED, DELIVERY_SUCCEEDED, DeliveryFinishedV1 } from './events/delivery-finished.v1.js';
import { DELIVERY_REQUESTED, DeliveryRequestedV1 } from './events/delivery-requested.v1.js';
import {
  ORDER_CANCELLED,
  ORDER_SUBMITTED,
  ORDER_UPDATED,
  OrderChangedV1,
} from './events/order-changed.v1.js';
import { RECIPE_RECEIVED, RecipeReceivedV1 } from './events/recipe-received.v1.js';
import { RECIPE_CREATED, RECIPE_UPDATED, RecipeSavedV1 } from './events/recipe-saved.v1.js';

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  /** What the key stands for, for readers of the documentation. */
  readonly key: 'order' | 'recipe' | 'lane' | 'order or recipe';
  readonly summary: string;
  /** `ce_type` -> contract of the value. */
  readonly types: ReadonlyMap<string, z.ZodType>;
}

const DAY_MS = 24 * 60 * 60 * 1_000;

export const TOPIC = {
  orderReceived: 'order.received',
  recipeReceived: 'recipe.received',
  recipeCreated: 'recipe.created',
  recipeUpdated: 'recipe.updated',
  orderSubmitted: 'order.submitted',
  orderUpdated: 'order.updated',
  orderCancelled: 'order.cancelled',
  deliveryAttempted: 'delivery.attempted',
  deliverySucceeded: 'delivery.succeeded',
  deliveryFailed: 'delivery.failed',
} as const;

export function deliveryRequestedTopic(
  destination: DestinationKind,
): `delivery.requested.${DestinationKind}` {
  return `delivery.requested.${destination}`;
}

function topic(
  name: string,
  key: TopicSpec['key'],
  retentionDays: number,
  summary: string,
  types: readonly (readonly [string, z.ZodType])[],
): TopicSpec {
  return { name, key, summary, partitions: 12, retentionMs: retentionDays * DAY_MS, types: new Map(types) };
}

/** Every topic of Heddle. Dead-letter topics follow from it: one for each. */
export const topicCatalogue: readonly TopicSpec[] = [
  topic(TOPIC.orderReceived, 'order', 7, 'What an upstream said about one order.', [
    [ASSOCIATION_RECEIVED, AssociationReceivedV1],
    [CANCELLATION_RECEIVED, CancellationReceivedV1],
  ]),
  topic(TOPIC.recipeReceived, 'recipe', 7, 'A recipe document as accepted.', [
    [RECIPE_RECEIVED, RecipeReceivedV1],
  ]),
  topic(TOPIC.recipeCreated, 'recipe', 30, 'A recipe was saved for the first time.', [
    [RECIPE_CREATED, RecipeSavedV1],
  ]),
  topic(TOPIC.recipeUpdated, 'recipe', 30, 'A recipe got other content.', [[RECIPE_UPDATED, RecipeSavedV1]]),
  topic(TOPIC.orderSubmitted, 'order', 30, 'The first association of an order.', [
    [ORDER_SUBMITTED, OrderChangedV1],
  ]),
  topic(TOPIC.orderUpdated, 'order', 30, 'A later change of an order.', [[ORDER_UPDATED, OrderChangedV1]]),
  topic(TOPIC.orderCancelled, 'order', 30, 'An order was cancelled.', [[ORDER_CANCELLED, OrderChangedV1]]),
  ...DESTINATION_KINDS.map((kind) =>
    topic(deliveryRequestedTopic(kind), 'lane', 3, `Offers of attempts to the ${kind} worker.`, [
      [DELIVERY_REQUESTED, DeliveryRequestedV1],
    ]),
  ),
  topic(TOPIC.deliveryAttempted, 'lane', 7, 'What workers did with their offers.', [
    [DELIVERY_ATTEMPTED, DeliveryAttemptedV1],
  ]),
  topic(TOPIC.deliverySucceeded, 'order or recipe', 30, 'A delivery succeeded.', [
    [DELIVERY_SUCCEEDED, DeliveryFinishedV1],
  ]),
  topic(TOPIC.deliveryFailed, 'order or recipe', 30, 'A delivery failed for good.', [
    [DELIVERY_FAILED, DeliveryFinishedV1],
  ]),
];

export function deadLetterTopic(topicName: string): string {
  return `${topicName}.dead-letter`;
}
export const DEAD_LETTER_RETENTION_MS = 30 * DAY_MS;
