import { TOPIC } from '@heddle/contracts';

/** Services that keep an outbox and consumed positions: their schema, and the topics that they consume. */
export const SERVICES_WITH_TABLES: Readonly<
  Record<string, { readonly schema: string; readonly topics: readonly string[] }>
> = {
  'association-store': { schema: 'association_store', topics: [TOPIC.orderReceived, TOPIC.recipeReceived] },
  dispatcher: {
    schema: 'dispatcher',
    topics: [
      TOPIC.orderSubmitted,
      TOPIC.orderUpdated,
      TOPIC.orderCancelled,
      TOPIC.recipeCreated,
      TOPIC.recipeUpdated,
      TOPIC.deliveryAttempted,
    ],
  },
};
