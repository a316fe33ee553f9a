import { z } from 'zod';

import { Channel, Instant } from '../identifiers.js';

import { QueryFlag } from './paging.http.js';

/** Longest time that one report covers, in days. */
export const MAX_REPORT_DAYS = 400;
/** Time that a report covers where nobody says `from`, in days. */
export const DEFAULT_REPORT_DAYS = 30;
/** Most groups of one report; the total counts the rest as well. */
export const MAX_REPORT_GROUPS = 1_000;

/** A day, or an instant; days are those of UTC. */
const Moment = z.union(
  [z.iso.date().refine((text) => !text.startsWith('0000'), 'there is no year 0'), Instant],
  'must be a day (2026-01-31) or an instant in UTC',
);

/** `GET /api/v2/reports/conversions`. */
export const ConversionsQuery = z.strictObject({
  from: Moment.optional().describe(
    `Included. Where it is missing, ${String(DEFAULT_REPORT_DAYS)} days before \`to\`.`,
  ),
  to: Moment.optional().describe('Not included; a day is included whole. Where it is missing, now.'),
  groupBy: z.enum(['day', 'styleCode', 'channel']).default('day'),
  /** Of recipes: with temporary ones alone, or without them. */
  temporary: QueryFlag.optional(),
  channel: Channel.optional(),
});
export type ConversionsQuery = z.infer<typeof ConversionsQuery>;

const figures = {
  recipesSaved: z.int(),
  /** Of those that were saved. */
  recipesOrdered: z.int(),
  /** The sum of their quantities. */
  itemsOrdered: z.int(),
  /** Recipes ordered over recipes saved; null where none was saved. */
  rate: z.number().min(0).max(1).nullable(),
};

/** Which of the recipes that were saved in a time became orders since. */
export const ConversionsReport = z.object({
  from: Instant,
  to: Instant,
  groupBy: ConversionsQuery.shape.groupBy.unwrap(),
  /** Days oldest first, else the largest groups. */
  items: z
    .array(
      z.object({
        /** The day in UTC, the style code or the channel; null: recipes without a style code. */
        group: z.string().nullable(),
        ...figures,
      }),
    )
    .max(MAX_REPORT_GROUPS),
  /** Groups that there are, listed or not. */
  groups: z.int().min(0),
  /** Not all of them are listed: ask for a shorter time, or for one channel. */
  truncated: z.boolean(),
  /** Of all groups, those that are not listed as well. */
  total: z.object(figures),
});
export type ConversionsReport = z.infer<typeof ConversionsReport>;
