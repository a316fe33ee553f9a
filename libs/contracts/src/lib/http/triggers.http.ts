import { z } from 'zod';

import { DestinationKind, Trigger } from '../destinations/destination-kind.js';
import { FileKind } from '../file-manifest.js';
import { ForeignId, Instant, RecipeId } from '../identifiers.js';

import { DeliveryFilter } from './deliveries.http.js';

/** What a trigger may name; exactly one of them. */
const NAMES = ['orderNumber', 'orderId', 'orderUid', 'recipeId'] as const;

/** Most deliveries that one `POST /api/v2/trigger` makes; more of them take `POST /api/v2/trigger/bulk`. */
export const MAX_TRIGGERED = 1_000;

/** `POST /api/v2/trigger`. */
export const TriggerRequest = z
  .strictObject({
    orderNumber: ForeignId.optional(),
    orderId: ForeignId.optional(),
    orderUid: z.uuid().optional(),
    recipeId: RecipeId.optional(),
    /** Default: every integration that orders, or recipes, like these start. */
    integrationIds: z.array(z.uuid()).min(1).max(200).optional(),
    /**
     * Files with a receipt of the same version stay, and recipients who have the mail of it are left out; else
     * everything is sent again.
     */
    onlyMissing: z.boolean().default(false),
    /** Of a recipe: the orders that use it, or the recipe itself. Default: the orders, where there are any. */
    as: z.enum(['orders', 'recipe']).optional(),
    dryRun: z.boolean().default(false),
  })
  .superRefine((request, context) => {
    if (NAMES.filter((name) => request[name] !== undefined).length !== 1)
      context.addIssue({ code: 'custom', message: `exactly one of ${NAMES.join(', ')} has to be given` });
    if (request.as !== undefined && request.recipeId === undefined)
      context.addIssue({ code: 'custom', path: ['as'], message: 'as goes with recipeId alone' });
  });
export type TriggerRequest = z.infer<typeof TriggerRequest>;

/** 202 of `POST /api/v2/trigger`. */
export const TriggerAnswer = z.object({ triggerId: z.uuid(), deliveries: z.array(z.uuid()) });
export type TriggerAnswer = z.infer<typeof TriggerAnswer>;

/** 200 of `POST /api/v2/trigger` with `dryRun`: what would be sent, if nothing changed until then. */
export const TriggerPreview = z.object({
  triggerId: z.null(),
  deliveries: z.array(
    z.object({
      integrationId: z.uuid(),
      destination: DestinationKind,
      trigger: Trigger,
      orderUid: z.uuid().nullable(),
      orderNumber: ForeignId.nullable(),
      orderId: ForeignId.nullable(),
      recipeIds: z.array(RecipeId),
      version: z.int(),
      /** The delivery that it would repeat. */
      repeats: z.uuid().nullable(),
      /** Deliveries that have not gone out and would make room for it. */
      supersedes: z.array(z.uuid()),
      files: z.array(z.object({ name: z.string(), kind: FileKind })),
      /** Recipes that have not come yet. */
      missing: z.array(RecipeId),
    }),
  ),
});
export type TriggerPreview = z.infer<typeof TriggerPreview>;

/** Deliveries a second that a bulk trigger makes at most, whatever is asked. */
export const MAX_BULK_PER_SECOND = 1_000;

const PerSecond = z.int().min(1).max(MAX_BULK_PER_SECOND);
const FILTERS = DeliveryFilter.keyof().options;

/** `POST /api/v2/trigger/bulk`: what deliveries to repeat, as `GET /api/v2/deliveries` is asked. */
export const BulkTriggerRequest = DeliveryFilter.extend({
  /** As of a single trigger. */
  onlyMissing: z.boolean().default(false),
  /** New deliveries a second. */
  perSecond: PerSecond.default(50),
  dryRun: z.boolean().default(false),
}).superRefine((request, context) => {
  if (FILTERS.every((name) => request[name] === undefined))
    context.addIssue({ code: 'custom', message: `at least one of ${FILTERS.join(', ')} has to be given` });
});
export type BulkTriggerRequest = z.infer<typeof BulkTriggerRequest>;

/** 200 of `POST /api/v2/trigger/bulk` with `dryRun`. */
export const BulkTriggerPreview = z.object({ count: z.int() });
export type BulkTriggerPreview = z.infer<typeof BulkTriggerPreview>;

/** 202 of `POST /api/v2/trigger/bulk`. */
export const BulkTriggerAnswer = z.object({ bulkId: z.uuid(), count: z.int() });
export type BulkTriggerAnswer = z.infer<typeof BulkTriggerAnswer>;

/** `GET /api/v2/trigger/bulk/{bulkId}`. */
export const BulkTrigger = z.object({
  /** The `triggerId` of the deliveries that it makes. */
  bulkId: z.uuid(),
  state: z.enum(['running', 'done', 'cancelled']),
  /** Orders or recipes, each with one integration, that there were to send. */
  count: z.int(),
  /** Deliveries that it has made. */
  done: z.int(),
  /** What it found no way to send, or not to be sent any more. */
  skipped: z.int(),
  filter: DeliveryFilter,
  onlyMissing: z.boolean(),
  perSecond: PerSecond,
  createdAt: Instant,
  finishedAt: Instant.nullable(),
});
export type BulkTrigger = z.infer<typeof BulkTrigger>;
