import { z } from 'zod';

import { SentDeliveryCode } from '../delivery-codes.js';
import { FileName } from '../file-name.js';
import { Instant, Sha256, Tenant } from '../identifiers.js';

import { DeliveryNotes } from './delivery-requested.v1.js';

/**
 * Proof that one file arrived. Shown to the tenant, so it holds no credential. That of a mail names its recipients; who
 * may not read the settings of integrations, and every public event, has their addresses masked.
 */
export const Receipt = z.object({
  name: FileName,
  /** In the notation of the destination, for example `sftp://host/in/name`. */
  location: z.string().min(1),
  /** Of the bytes that were sent. Null: a link was sent, or nothing, as an earlier delivery had sent it. */
  sizeBytes: z.int().min(0).nullable(),
  sha256: Sha256.nullable(),
  /** What else proves it: host key, ETag, how the file was put in place. */
  details: z.record(z.string(), z.string()),
});
export type Receipt = z.infer<typeof Receipt>;

/** A file that this attempt could not deliver, and why, in our words. */
export const FileFault = z.object({ name: FileName, code: SentDeliveryCode, message: z.string() });
export type FileFault = z.infer<typeof FileFault>;

/** Bytes that an attempt is about to write under a name that must not be taken. */
export const BegunWrite = z.object({ name: FileName, sha256: Sha256 });
export type BegunWrite = z.infer<typeof BegunWrite>;

export const ATTEMPT_OUTCOMES = ['succeeded', 'failed', 'released', 'expired'] as const;
export const AttemptOutcome = z.enum(ATTEMPT_OUTCOMES);
export type AttemptOutcome = z.infer<typeof AttemptOutcome>;

const common = {
  deliveryId: z.uuid(),
  offerId: z.uuid(),
  tenant: Tenant,
  integrationId: z.uuid(),
  attempt: z.int().min(1),
  /** The worker process, new with each start. */
  workerId: z.uuid(),
  at: Instant,
  /** Of the event that the delivery is about, as its offer says. */
  acceptedAt: Instant.optional(),
};

/**
 * What a worker did with an offer.
 *
 * - Topic: `delivery.attempted`; `ce_type`: `heddle.delivery.attempted.v1`.
 * - Key: the lane. Producers: `outbound-*`. Consumer: `dispatcher`.
 *
 * `started` before the first byte goes out, `progress` while it runs, `finished` once.
 * `released`: not attempted or given back at shutdown; `expired`: taken too late. Both
 * spend no attempt.
 */
export const DeliveryAttemptedV1 = z.discriminatedUnion('phase', [
  z.object({ phase: z.literal('started'), ...common }),
  z.object({
    phase: z.literal('progress'),
    ...common,
    receipts: z.array(Receipt),
    /** Acknowledged before the first of these bytes goes out, so that a later attempt knows them for its own. */
    begun: z.array(BegunWrite).optional(),
    /** Added to those of earlier offers; a name that is there takes the new value. */
    notes: DeliveryNotes.optional(),
  }),
  z.object({
    phase: z.literal('finished'),
    ...common,
    outcome: AttemptOutcome,
    /** Null unless `failed`. */
    code: SentDeliveryCode.nullable(),
    /** Our sentence: what was being done and where. Null unless `failed`. */
    message: z.string().nullable(),
    /** Delay that the target asked for. */
    retryAfterMs: z.int().min(0).nullable(),
    receipts: z.array(Receipt),
    faults: z.array(FileFault),
    /** As those of its progress. */
    notes: DeliveryNotes.optional(),
    startedAt: Instant.nullable(),
    durationMs: z.number().min(0),
    sizeBytes: z.int().min(0),
  }),
]);
export type DeliveryAttemptedV1 = z.infer<typeof DeliveryAttemptedV1>;
export const DELIVERY_ATTEMPTED = 'heddle.delivery.attempted.v1';
