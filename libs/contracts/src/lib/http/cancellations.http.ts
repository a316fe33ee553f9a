import { z } from 'zod';

import { CANCEL_REASONS } from '../events/cancellation-received.v1.js';
import type { CancelReason } from '../events/cancellation-received.v1.js';

import { MAX_ASSOCIATIONS, OrderIdInput, OrderNumberInput } from './associations.http.js';

/** Text outside the list becomes `other`: free text may hold personal data. */
function cancelReasonOf(text: string): CancelReason {
  return CANCEL_REASONS.find((reason) => reason === text.trim().toLowerCase()) ?? 'other';
}

export const CancellationInput = z.object({
  orderNumber: OrderNumberInput,
  orderId: OrderIdInput,
  reason: z.preprocess(
    (value) => (value === null || value === '' ? undefined : value),
    z.string('reason must be a string').transform(cancelReasonOf).optional(),
  ),
});
export type CancellationInput = z.infer<typeof CancellationInput>;

export const CancellationsRequest = z
  .array(CancellationInput, 'the body must be an array of cancellations')
  .min(1, 'the array must have 1 to 1000 members')
  .max(MAX_ASSOCIATIONS, 'the array must have 1 to 1000 members');
