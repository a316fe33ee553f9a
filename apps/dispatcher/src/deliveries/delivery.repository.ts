import { Inject, Injectable } from '@nestjs/common';
import { z } from 'zod';

import { MAX_CHOSEN_ORDERS } from '@heddle/contracts';
import type {
  DeliveredOrdersQuery,
  DeliveriesQuery,
  DeliveryDetails,
  DeliveryFilter,
  DeliverySummary,
  Receipt,
} from '@heddle/contracts';
import { decodeCursor, inTransaction, query, search, toPage } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import { DATA_SOURCE } from '../tokens.js';

import { firstIdAt } from './first-id-at.js';
import { maskedReceipt } from './masked-receipt.js';

type SummaryRow = Omit<
  DeliverySummary,
  'nextAttemptAt' | 'createdAt' | 'updatedAt' | 'finishedAt' | 'orderUid'
> & {
  readonly kind: 'order' | 'recipe' | 'notification';
  readonly subject: string;
  readonly repeats: string | null;
  readonly acceptedAt: Date;
  readonly nextAttemptAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
};

interface FileRow {
  readonly name: string;
  readonly kind: DeliveryDetails['files'][number]['kind'];
  readonly receipt: Receipt | null;
}

type AttemptRow = Omit<DeliveryDetails['attempts'][number], 'startedAt' | 'finishedAt'> & {
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
};

/**
 * What is ready but held back waits, as its reader sees it: paused by hand, or behind a breaker. Stored it is
 * 'ready', so that pausing an integration with ten thousand deliveries writes one row.
 */
const HELD = `CASE WHEN d.state <> 'ready' THEN NULL WHEN i.status = 'paused' THEN 'paused'
  WHEN f.probe_at IS NOT NULL THEN 'breaker' END`;

/** As its reader sees it. */
export const SHOWN_STATE = `CASE WHEN (${HELD}) IS NULL THEN d.state ELSE 'waiting' END`;

/** What the conditions of a filter are about. */
export const DELIVERIES = `dispatcher.deliveries d
  JOIN dispatcher.integrations i ON i.integration_id = d.integration_id
  JOIN dispatcher.integration_flow f ON f.integration_id = d.integration_id`;

const SUMMARY = `SELECT d.delivery_id AS "deliveryId", d.integration_id AS "integrationId",
    d.integration_version AS "integrationVersion", d.destination, d.trigger, d.event_id AS "eventId", d.trigger_id AS "triggerId",
    CASE WHEN n.delivery_id IS NOT NULL
      THEN json_build_object('integrationId', n.integration_id, 'kind', n.kind) END AS notification,
    d.kind,
    d.subject, d.order_number AS "orderNumber", d.order_id AS "orderId", d.recipe_ids AS "recipeIds", d.version,
    ${SHOWN_STATE} AS state,
    coalesce(d.reason, ${HELD}) AS reason, d.attempts, d.code, d.repeats, d.accepted_at AS "acceptedAt",
    d.next_attempt_at AS "nextAttemptAt", d.created_at AS "createdAt", d.updated_at AS "updatedAt",
    d.finished_at AS "finishedAt"
  FROM ${DELIVERIES}
  LEFT JOIN dispatcher.notifications n ON n.delivery_id = d.delivery_id`;

/** Who reads; a key of one channel sees the deliveries of that channel alone. */
export interface Reader {
  readonly tenant: string;
  readonly channel: string | undefined;
}

@Injectable()
export class DeliveryRepository {
  constructor(@Inject(DATA_SOURCE) private readonly dataSource: DataSource) {}

  /** Newest first: delivery ids grow with time. */
  async list(
    reader: Reader,
    { limit, cursor, notifies, ...filters }: DeliveriesQuery,
  ): Promise<{ items: DeliverySummary[]; nextCursor: string | null }> {
    const bound = ['deliveries', reader.tenant, reader.channel ?? null, { ...filters, notifies }];
    const after = cursor === undefined ? undefined : decodeCursor(cursor, bound, z.tuple([z.uuid()]))[0];
    const where = conditionsOf(reader, filters);
    where.add('d.delivery_id < $?', after);
    where.add('n.integration_id = $?', notifies);
    const rows = await search<SummaryRow>(
      this.dataSource,
      `${SUMMARY} WHERE ${where.sql} ORDER BY d.delivery_id DESC LIMIT ${String(limit + 1)}`,
      where.params,
    );
    const page = toPage(rows, { limit, filters: bound, positionOf: ({ deliveryId }) => [deliveryId] });
    return { ...page, items: page.items.map(summaryOf) };
  }

  /**
   * @param showsAddresses the reader may read the settings of integrations, so also what tells of them: notes, and whom
   *   a mail has reached.
   */
  async read(
    { tenant, channel }: Reader,
    deliveryId: string,
    { showsAddresses }: { readonly showsAddresses: boolean } = { showsAddresses: false },
  ): Promise<DeliveryDetails | undefined> {
    return await inTransaction(this.dataSource, async (tx) => {
      const [row] = await tx.query<SummaryRow>(
        `${SUMMARY} WHERE d.tenant = $1 AND d.delivery_id = $2 AND ($3::text IS NULL OR d.channel = $3)`,
        [tenant, deliveryId, channel ?? null],
      );
      if (!row) return undefined;
      const files = await tx.query<FileRow>(
        `SELECT name, kind, receipt FROM dispatcher.delivery_files WHERE delivery_id = $1 ORDER BY position`,
        [deliveryId],
      );
      const attempts = await tx.query<AttemptRow>(
        `SELECT attempt, offer_id AS "offerId", started_at AS "startedAt", finished_at AS "finishedAt",
                coalesce(outcome, 'running') AS outcome, code, message, size_bytes::float8 AS "sizeBytes",
                duration_ms AS "durationMs"
         FROM dispatcher.offers WHERE delivery_id = $1 ORDER BY offer_id`,
        [deliveryId],
      );
      const [noted] = showsAddresses
        ? await tx.query<Pick<DeliveryDetails, 'notes'>>(
            `SELECT notes FROM dispatcher.deliveries WHERE delivery_id = $1`,
            [deliveryId],
          )
        : [];
      const { attempts: _, ...summary } = summaryOf(row);
      return {
        ...summary,
        repeats: row.repeats,
        acceptedAt: row.acceptedAt.toISOString(),
        notes: noted?.notes ?? null,
        files: files.map(({ name, kind, receipt }) => {
          if (receipt === null) return { name, kind, state: 'missing' as const, receipt };
          const { location, sizeBytes, sha256, details } = showsAddresses ? receipt : maskedReceipt(receipt);
          return {
            name,
            kind,
            state: 'delivered' as const,
            receipt: { location, sizeBytes, sha256, details },
          };
        }),
        attempts: attempts.map((attempt) => ({
          ...attempt,
          startedAt: attempt.startedAt?.toISOString() ?? null,
          finishedAt: attempt.finishedAt?.toISOString() ?? null,
        })),
      };
    });
  }

  /**
   * Orders with a delivery in a state, the last created first: their uids grow with time.
   *
   * States but 'succeeded' are rare: their deliveries are found first, by the index that they have. Of 'succeeded' nearly
   * every order has one, so the orders are walked.
   */
  async ordersIn(reader: Reader, { state, before }: DeliveredOrdersQuery): Promise<readonly string[]> {
    const where = conditionsOf(reader, { state });
    where.text(`d.kind = 'order' AND i.tenant = d.tenant`);
    where.add('d.subject < $?', before);
    const rows = await search<{ subject: string }>(
      this.dataSource,
      `WITH found AS ${state === 'succeeded' ? 'NOT MATERIALIZED' : 'MATERIALIZED'} (
         SELECT d.subject FROM ${DELIVERIES} WHERE ${where.sql})
       SELECT DISTINCT subject FROM found ORDER BY subject DESC LIMIT ${String(MAX_CHOSEN_ORDERS)}`,
      where.params,
    );
    return rows.map(({ subject }) => subject);
  }

  /** Text of a file that travels in its offers. */
  async readDocument(tenant: string, deliveryId: string, name: string): Promise<string | undefined> {
    const [row] = await query<{ text: string | null }>(
      this.dataSource,
      `SELECT f.source ->> 'text' AS text
       FROM dispatcher.deliveries d JOIN dispatcher.delivery_files f USING (delivery_id)
       WHERE d.tenant = $1 AND d.delivery_id = $2 AND f.name = $3 AND f.source ->> 'kind' = 'inline'`,
      [tenant, deliveryId, name],
    );
    return row?.text ?? undefined;
  }
}

function summaryOf(row: SummaryRow): DeliverySummary {
  const { kind, subject, repeats: _repeats, acceptedAt: _acceptedAt, ...summary } = row;
  return {
    ...summary,
    orderUid: kind === 'order' ? subject : null,
    nextAttemptAt: row.nextAttemptAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}

/** Whose deliveries, and which of them. */
export function conditionsOf({ tenant, channel }: Reader, filters: DeliveryFilter): Conditions {
  const where = new Conditions('d.tenant = $?', tenant);
  where.add('d.channel = $?', channel);
  where.add(`d.kind = 'order' AND d.subject = $?`, filters.orderUid);
  where.add(`d.order_number = $? AND ${ofHeads('order_number')}`, filters.orderNumber);
  where.add(`d.order_id = $? AND ${ofHeads('order_id')}`, filters.orderId);
  where.add('d.recipe_ids @> ARRAY[$?::text]', filters.recipeId);
  where.add('d.integration_id = $?', filters.integrationId);
  where.add('d.trigger_id = $?', filters.triggerId);
  where.add('d.destination = $?', filters.destination);
  if (filters.state === 'waiting')
    where.text(`(d.state = 'waiting' OR (d.state = 'ready' AND (${HELD}) IS NOT NULL))`);
  else if (filters.state === 'ready') where.text(`d.state = 'ready' AND (${HELD}) IS NULL`);
  else where.add('d.state = $?', filters.state);
  where.add('d.code = $?', filters.code);
  where.add('d.created_at >= $?', filters.since);
  where.add('d.created_at < $?', filters.until);
  // Ids grow with time as well, and have an index; a minute covers the difference of two clocks.
  where.add('d.delivery_id >= $?', filters.since && firstIdAt(Date.parse(filters.since) - 60_000));
  where.add('d.delivery_id < $?', filters.until && firstIdAt(Date.parse(filters.until) + 60_000));
  return where;
}

/**
 * Orders are found by number and id in their heads, so that nothing of a delivery has to be indexed for it: a number never
 * changes, an id only from none, and a head stays as long as there is a delivery of it. The first parameter is the tenant.
 */
function ofHeads(column: 'order_number' | 'order_id'): string {
  return `d.kind = 'order' AND d.subject = ANY (ARRAY(
    SELECT h.subject FROM dispatcher.heads h WHERE h.tenant = $1 AND h.kind = 'order' AND h.${column} = $?))`;
}

/** Conditions that are joined by AND; `$?` stands for the value's parameter, `d` for the deliveries. */
export class Conditions {
  readonly params: unknown[] = [];
  private readonly parts: string[] = [];

  constructor(sql: string, value: unknown) {
    this.add(sql, value);
  }

  add(sql: string, value: unknown): void {
    if (value === undefined) return;
    this.params.push(value);
    this.text(sql.replaceAll('$?', () => `$${String(this.params.length)}`));
  }

  text(sql: string): void {
    this.parts.push(sql);
  }

  get sql(): string {
    return this.parts.join(' AND ');
  }

  /** The same conditions, and parameters, of deliveries under another name. */
  of(alias: string): string {
    return this.sql.replaceAll(/\bd\./g, `${alias}.`);
  }
}
