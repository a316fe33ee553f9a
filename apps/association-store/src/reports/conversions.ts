import { DEFAULT_REPORT_DAYS, MAX_REPORT_DAYS, MAX_REPORT_GROUPS } from '@heddle/contracts';
import type { ConversionsQuery, ConversionsReport } from '@heddle/contracts';
import { search } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError } from '@heddle/platform';

import type { Reader } from '../orders/order.queries.js';
import { SCHEMA } from '../schema/migrations.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

type GroupBy = ConversionsQuery['groupBy'];
type Group = ConversionsReport['items'][number];

interface CountRow extends Omit<Group, 'rate'> {
  readonly isTotal: boolean;
  /** With the total. */
  readonly rows: number;
}

const GROUP: Readonly<Record<GroupBy, string>> = {
  day: `to_char(v.accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')`,
  styleCode: 'v.style_code',
  channel: 'v.channel',
};

const ORDER: Readonly<Record<GroupBy, string>> = {
  day: '"group"',
  styleCode: '"recipesSaved" DESC, "group" NULLS LAST',
  channel: '"recipesSaved" DESC, "group"',
};

/**
 * Counts the recipes that were saved in a time, and those of them that orders use. Whose key serves one channel
 * counts the recipes and the orders of that channel alone.
 *
 * @throws {ProblemError} 400 for a time that ends before it begins, or is too long.
 */
export async function countConversions(
  dataSource: DataSource,
  { tenant, channel }: Reader,
  asked: ConversionsQuery,
  now: Date,
): Promise<ConversionsReport> {
  const { from, to } = spanOf(asked, now);
  const { groupBy } = asked;
  const rows = await search<CountRow>(
    dataSource,
    `WITH saved AS (
       SELECT v.tenant, v.recipe_id, ${GROUP[groupBy]} AS "group" FROM ${SCHEMA}.recipe_versions v
       WHERE v.tenant = $1 AND v.version = 1 AND v.accepted_at >= $2 AND v.accepted_at < $3
         AND ($4::text IS NULL OR v.channel = $4) AND ($5::text IS NULL OR v.channel = $5)
         AND ($6::boolean IS NULL OR v.temporary = $6)
     ), counted AS (
       SELECT s.recipe_id, s."group", sum(i.item_quantity) AS items
       FROM saved s
       LEFT JOIN (${SCHEMA}.order_items i
                  JOIN ${SCHEMA}.orders o
                    ON o.order_uid = i.order_uid AND o.status = 'open' AND ($4::text IS NULL OR o.channel = $4))
         ON i.tenant = s.tenant AND i.recipe_id = s.recipe_id AND i.item_quantity > 0
       GROUP BY s.recipe_id, s."group"
     )
     SELECT "group", grouping("group") = 1 AS "isTotal", count(*)::float8 AS "recipesSaved",
            (count(*) OVER ())::float8 AS rows, count(items)::float8 AS "recipesOrdered", coalesce(sum(items), 0)::float8 AS "itemsOrdered"
     FROM counted GROUP BY GROUPING SETS (("group"), ())
     ORDER BY "isTotal" DESC, ${ORDER[groupBy]} LIMIT ${String(MAX_REPORT_GROUPS + 1)}`,
    [tenant, from, to, channel ?? null, asked.channel ?? null, asked.temporary ?? null],
  );
  const groups = rows.map(({ isTotal, rows: _, ...counts }) => ({ isTotal, group: withRate(counts) }));
  const items = groups.filter(({ isTotal }) => !isTotal).map(({ group }) => group);
  const count = Math.max(0, (rows[0]?.rows ?? 0) - 1);
  const { group: _, ...total } = groups.find(({ isTotal }) => isTotal)?.group ?? NOTHING;
  return {
    from: from.toISOString(),
    to: to.toISOString(),
    groupBy,
    items,
    groups: count,
    truncated: count > items.length,
    total,
  };
}

const NOTHING: Group = { group: null, recipesSaved: 0, recipesOrdered: 0, itemsOrdered: 0, rate: null };

function withRate(counts: Omit<Group, 'rate'>): Group {
  const { recipesSaved, recipesOrdered } = counts;
  return { ...counts, rate: recipesSaved === 0 ? null : recipesOrdered / recipesSaved };
}

function spanOf(asked: ConversionsQuery, now: Date): { readonly from: Date; readonly to: Date } {
  const to = asked.to === undefined ? now : new Date(Date.parse(asked.to) + (isDay(asked.to) ? DAY_MS : 0));
  const from =
    asked.from === undefined ? new Date(to.getTime() - DEFAULT_REPORT_DAYS * DAY_MS) : new Date(asked.from);
  if (from >= to) throw badSpan('from has to come before to');
  if (to.getTime() - from.getTime() > MAX_REPORT_DAYS * DAY_MS)
    throw badSpan(`a report covers at most ${String(MAX_REPORT_DAYS)} days`);
  return { from, to };
}

/** A day is read as its beginning. */
function isDay(text: string): boolean {
  return !text.includes('T');
}

function badSpan(message: string): ProblemError {
  return new ProblemError(400, message, { errors: [{ pointer: '?from', code: 'range', message }] });
}
