import { z } from 'zod';

import { DestinationKind, Trigger } from '../destinations/destination-kind.js';
import { FileKind } from '../file-manifest.js';
import { ForeignId, RecipeId } from '../identifiers.js';

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
    /** Files with a receipt of the same version stay; else everything is sent again. */
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
