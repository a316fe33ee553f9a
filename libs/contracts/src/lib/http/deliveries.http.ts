import { z } from 'zod';

import { DeliveryCode } from '../delivery-codes.js';
import { DestinationKind, Trigger } from '../destinations/destination-kind.js';
import { Receipt } from '../events/delivery-attempted.v1.js';
import { DeliveryNotes } from '../events/delivery-requested.v1.js';
import { OfferedFileKind } from '../file-manifest.js';
import { ForeignId, Instant, RecipeId } from '../identifiers.js';
import { NotificationKind } from '../notification.js';

import { pageOf, paging } from './paging.http.js';

export const DELIVERY_STATES = [
  'waiting',
  'ready',
  'in-flight',
  'retrying',
  'succeeded',
  'failed',
  'superseded',
  'cancelled',
] as const;
export const DeliveryState = z.enum(DELIVERY_STATES);
export type DeliveryState = z.infer<typeof DeliveryState>;

/** Why a delivery waits, was superseded or was cancelled. */
export const DELIVERY_REASONS = [
  'lane',
  'recipe',
  'breaker',
  'paused',
  'newer-version',
  'repeated',
  'order-cancelled',
  'integration-disabled',
  'integration-deleted',
  'by-request',
] as const;
export const DeliveryReason = z.enum(DELIVERY_REASONS);
export type DeliveryReason = z.infer<typeof DeliveryReason>;

/** What selects deliveries. */
const filters = {
  orderUid: z.uuid().optional(),
  orderNumber: ForeignId.optional(),
  orderId: ForeignId.optional(),
  recipeId: RecipeId.optional(),
  integrationId: z.uuid().optional(),
  triggerId: z.uuid().optional(),
  destination: DestinationKind.optional(),
  state: DeliveryState.optional(),
  code: DeliveryCode.optional(),
  since: Instant.optional(),
  until: Instant.optional(),
};
export const DeliveryFilter = z.strictObject(filters);
export type DeliveryFilter = z.infer<typeof DeliveryFilter>;

/** `GET /api/v2/deliveries`. */
export const DeliveriesQuery = z.strictObject({
  ...paging,
  ...filters,
  /** Mails to notification lists about deliveries of this integration. */
  notifies: z.uuid().optional(),
});
export type DeliveriesQuery = z.infer<typeof DeliveriesQuery>;

export const DeliverySummary = z.object({
  deliveryId: z.uuid(),
  integrationId: z.uuid(),
  integrationVersion: z.int(),
  destination: DestinationKind,
  trigger: Trigger,
  eventId: z.uuid(),
  /** The manual trigger that made it; null: an event did. */
  triggerId: z.uuid().nullable(),
  /** What it tells, and of which integration; null for all that is no mail to a notification list. */
  notification: z.object({ integrationId: z.uuid(), kind: NotificationKind }).nullable(),
  orderUid: z.uuid().nullable(),
  orderNumber: ForeignId.nullable(),
  orderId: ForeignId.nullable(),
  recipeIds: z.array(RecipeId),
  version: z.int(),
  state: DeliveryState,
  reason: DeliveryReason.nullable(),
  /** Attempts spent so far. */
  attempts: z.int(),
  /** Of the last failed attempt. */
  code: DeliveryCode.nullable(),
  nextAttemptAt: Instant.nullable(),
  createdAt: Instant,
  updatedAt: Instant,
  finishedAt: Instant.nullable(),
});
export type DeliverySummary = z.infer<typeof DeliverySummary>;
export const DeliveryPage = pageOf(DeliverySummary);

/** `GET /api/v2/deliveries/{deliveryId}`. `attempts` is the history here, not its length. */
export const DeliveryDetails = DeliverySummary.omit({ attempts: true }).extend({
  /** The delivery that a manual trigger repeated. */
  repeats: z.uuid().nullable(),
  acceptedAt: Instant,
  /**
   * What its attempts have noted for those after them. Of an e-mail: the mail server's reply to each recipient that has
   * the mail (250) or is refused for good (5yz). Null for readers that may not read the settings of integrations.
   */
  notes: DeliveryNotes.nullable(),
  files: z.array(
    z.object({
      name: z.string(),
      kind: OfferedFileKind,
      state: z.enum(['missing', 'delivered']),
      /** With masked e-mail addresses (`h***@factory.example`) for readers that see no notes. */
      receipt: Receipt.omit({ name: true }).nullable(),
    }),
  ),
  attempts: z.array(
    z.object({
      attempt: z.int(),
      offerId: z.uuid(),
      startedAt: Instant.nullable(),
      finishedAt: Instant.nullable(),
      outcome: z.enum(['running', 'succeeded', 'failed', 'released', 'expired', 'silent']),
      code: DeliveryCode.nullable(),
      message: z.string().nullable(),
      sizeBytes: z.int().nullable(),
      durationMs: z.number().nullable(),
    }),
  ),
});
export type DeliveryDetails = z.infer<typeof DeliveryDetails>;
