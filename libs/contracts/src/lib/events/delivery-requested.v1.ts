import { z } from 'zod';

import { Trigger } from '../destinations/destination-kind.js';
import { ManifestFault, OfferedFileKind } from '../file-manifest.js';
import { FileName } from '../file-name.js';
import { Channel, ForeignId, Instant, RecipeId, Sha256, Tenant } from '../identifiers.js';

/** Largest text that travels inside an offer, in UTF-16 units. Source: architecture, section 7. */
export const MAX_INLINE_CHARACTERS = 256_000;

/** Most lines of an order that travel inside an offer; all ids at their longest, they fill half of a message. */
export const MAX_OFFERED_ITEMS = 1_000;

/** Where the bytes of a file come from. */
export const FileSource = z.discriminatedUnion('kind', [
  /**
   * Of the hub itself: fetched from its internal address, pinned to a content hash where the bytes exist
   * before they are asked for.
   */
  z.object({ kind: z.literal('hub'), path: z.string().startsWith('/'), sha256: Sha256.optional() }),
  /**
   * Of somebody else: always through the guard against private addresses. With a fault there is nothing to fetch: the
   * attempt reports it for this file.
   */
  z.object({
    kind: z.literal('url'),
    url: z.string().min(1).max(8_192),
    fault: ManifestFault.optional(),
  }),
  /** Small documents that travel along. */
  z.object({ kind: z.literal('inline'), text: z.string().max(MAX_INLINE_CHARACTERS) }),
]);
export type FileSource = z.infer<typeof FileSource>;

export const OfferedFile = z.object({
  name: FileName,
  kind: OfferedFileKind,
  mimeType: z.string().min(1).max(255),
  source: FileSource,
  /** Hashes of what earlier offers of the delivery had begun to write under this name, where it must not be taken. */
  begun: z.array(Sha256).optional(),
});
export type OfferedFile = z.infer<typeof OfferedFile>;

/** What a destination wants to know again on a later attempt: its own names and values. No secrets. */
export const DeliveryNotes = z.record(z.string().min(1).max(512), z.string().max(512));
export type DeliveryNotes = z.infer<typeof DeliveryNotes>;

/**
 * Offers the worker of one destination one attempt at one delivery.
 *
 * - Topic: `delivery.requested.<destination>`; `ce_type`: `heddle.delivery.requested.v1`.
 * - Key: the lane (`<tenant>:<integrationId>:<orderUid>`, the recipe id for the feed).
 * - Producer: `dispatcher`. Consumer: `outbound-<destination>`.
 * - Event id, time and source are CloudEvents headers and are not repeated here.
 *
 * Compatibility: an optional field may be added. Any other change is
 * `heddle.delivery.requested.v2` on the same topic, published beside v1 until the last
 * consumer of v1 is gone.
 */
export const DeliveryRequestedV1 = z.object({
  deliveryId: z.uuid(),
  /** One per offer. The dispatcher acts on reports of the current offer only. */
  offerId: z.uuid(),
  /**
   * A worker that takes the offer later than this reports `expired` and sends nothing. It removes what earlier
   * offers left of these files: an offer that was never valid asks for that alone.
   */
  notAfter: Instant,
  tenant: Tenant,
  channel: Channel,
  integrationId: z.uuid(),
  integrationVersion: z.int().min(1),
  trigger: Trigger,
  /** 1 for the first try. The dispatcher counts; offers that were never started do not. */
  attempt: z.int().min(1),
  order: z
    .object({
      orderUid: z.uuid(),
      orderNumber: ForeignId,
      orderId: ForeignId.nullable(),
      version: z.int().min(1),
      /** Lines with a quantity above 0. Missing where they are too many, or the order has moved on. */
      items: z
        .array(z.object({ itemId: ForeignId, recipeId: RecipeId, itemQuantity: z.int().min(1) }))
        .optional(),
    })
    .optional(),
  recipeIds: z.array(RecipeId),
  /** Those that did not come within their wait: nothing of them is among the files. Missing where all came. */
  missingRecipeIds: z.array(RecipeId).optional(),
  /** The integration's settings as one sealed envelope; opened in the worker, for one attempt. */
  sealedSettings: z.string(),
  /** The files that have no receipt yet. */
  files: z.array(OfferedFile).min(1),
  /** What earlier offers of this delivery have noted, whatever the integration's settings were then. */
  notes: DeliveryNotes.optional(),
  /**
   * What earlier deliveries of the same files have noted, where only what is missing is asked for: who has left notes
   * tells by them what is missing.
   */
  earlierNotes: DeliveryNotes.optional(),
  /** Earlier offers of this delivery and its lane: what they left under temporary names is removed. */
  earlierOfferIds: z.array(z.uuid()),
  /**
   * An attempt that could not be reported for so long is given up: shorter than the silence after which the dispatcher
   * offers the delivery again. Missing: the worker's own limit counts.
   */
  leaseMs: z.int().min(1).optional(),
  acceptedAt: Instant,
});
export type DeliveryRequestedV1 = z.infer<typeof DeliveryRequestedV1>;
export const DELIVERY_REQUESTED = 'heddle.delivery.requested.v1';
