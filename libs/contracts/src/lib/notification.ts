import { z } from 'zod';

import { SentDeliveryCode } from './delivery-codes.js';
import { DestinationKind } from './destinations/destination-kind.js';
import { ForeignId, Instant, RecipeId } from './identifiers.js';

export const NOTIFICATION_KINDS = ['failed', 'recovered', 'succeeded', 'digest'] as const;
export const NotificationKind = z.enum(NOTIFICATION_KINDS);
export type NotificationKind = z.infer<typeof NotificationKind>;

/** Most deliveries of each kind that a digest shows; it counts them all. */
export const MAX_NOTIFIED = 50;

const FailedAttempt = z.object({
  attempt: z.int().min(1),
  at: Instant,
  code: SentDeliveryCode,
  /** What was being done and where, in our words. */
  message: z.string().max(2_000),
});

export const NotifiedDelivery = z.object({
  deliveryId: z.uuid(),
  /** Null for the recipe feed. */
  order: z.object({ orderNumber: ForeignId, orderId: ForeignId.nullable() }).nullable(),
  /** The first of them. */
  recipeIds: z.array(RecipeId),
  recipeCount: z.int().min(0),
  /** Attempts that failed, in their order; of a delivery that has recovered also those of what it makes good. */
  failures: z.array(FailedAttempt),
  /** It was the end of its integration, too: the destination is gone, and nothing more is sent to it. */
  hasStopped: z.boolean(),
});
export type NotifiedDelivery = z.infer<typeof NotifiedDelivery>;

const integration = z.object({ description: z.string(), destination: DestinationKind });
const shown = z.array(NotifiedDelivery).max(MAX_NOTIFIED);
const count = z.int().min(0);

/**
 * What a mail to a notification list says: the one file of a delivery of that kind. Made by the dispatcher when the
 * delivery is made, put into words by `outbound-email`. Source: wire/drive.md 3.5.
 */
export const Notification = z.discriminatedUnion('kind', [
  z.object({
    kind: z.enum(['failed', 'recovered', 'succeeded']),
    integration,
    delivery: NotifiedDelivery,
  }),
  /** A burst in one mail. */
  z.object({
    kind: z.literal('digest'),
    integration,
    counts: z.object({ failed: count, recovered: count, succeeded: count }),
    failed: shown,
    recovered: shown,
    succeeded: shown,
  }),
]);
export type Notification = z.infer<typeof Notification>;
