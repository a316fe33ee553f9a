import { z } from 'zod';

import { Channel, ForeignId, Instant, RecipeId, Tenant } from '../identifiers.js';

/**
 * What an upstream said about the items of one order, as accepted.
 *
 * - Topic: `order.received`; `ce_type`: `heddle.association.received.v1`.
 * - Key: `<tenant>:<orderNumber>`.
 * - Producer: `ingest-gateway`. Consumer: `association-store`.
 *
 * These are the only fields of an association that pass the gateway: the schema is the allow-list.
 */
export const AssociationReceivedV1 = z.object({
  tenant: Tenant,
  channel: Channel,
  orderNumber: ForeignId,
  /** In the order in which they were sent. */
  associations: z
    .array(
      z.object({
        recipeId: RecipeId,
        orderId: ForeignId.optional(),
        itemId: ForeignId,
        /** 0: the line no longer uses the recipe. */
        itemQuantity: z.int().min(0).max(1_000_000),
      }),
    )
    .min(1)
    .max(1_000),
  acceptedAt: Instant,
  requestId: z.string().min(1).max(64),
});
export type AssociationReceivedV1 = z.infer<typeof AssociationReceivedV1>;
export const ASSOCIATION_RECEIVED = 'heddle.association.received.v1';
