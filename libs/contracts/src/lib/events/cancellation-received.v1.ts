import { z } from 'zod';

import { Channel, ForeignId, Instant, Tenant } from '../identifiers.js';

/** Closed, as free text may hold personal data. Source: wire/drive.md 3.1. */
export const CANCEL_REASONS = ['customer', 'inventory', 'fraud', 'declined', 'staff', 'other'] as const;
export const CancelReason = z.enum(CANCEL_REASONS);
export type CancelReason = z.infer<typeof CancelReason>;

/**
 * An upstream cancelled one order.
 *
 * - Topic: `order.received`, so that it keeps its place among the associations;
 *   `ce_type`: `heddle.cancellation.received.v1`.
 * - Key: `<tenant>:<orderNumber>`.
 * - Producer: `ingest-gateway`. Consumer: `association-store`.
 */
export const CancellationReceivedV1 = z.object({
  tenant: Tenant,
  channel: Channel,
  orderNumber: ForeignId,
  orderId: ForeignId.optional(),
  reason: CancelReason.optional(),
  acceptedAt: Instant,
  requestId: z.string().min(1).max(64),
});
export type CancellationReceivedV1 = z.infer<typeof CancellationReceivedV1>;
export const CANCELLATION_RECEIVED = 'heddle.cancellation.received.v1';
