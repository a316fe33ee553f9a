import { Inject, Injectable } from '@nestjs/common';

import type { BulkTrigger, DeliveryFilter } from '@heddle/contracts';
import { inTransaction, planForParameters, query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';

import { Conditions, DELIVERIES, conditionsOf } from '../deliveries/delivery.repository.js';
import type { Reader } from '../deliveries/delivery.repository.js';
import { firstIdAt } from '../deliveries/first-id-at.js';
import { subjectKey } from '../events/fact.js';
import type { Subject } from '../events/fact.js';
import { DATA_SOURCE } from '../tokens.js';

import { isReached } from './choice.js';
import { TriggerRepository } from './trigger.repository.js';

/** Deliveries that one transaction makes; it locks as many orders. */
const MAX_BATCH = 200;
/** Bulk triggers that one look finds; those that waited longest for their turn come first. */
const MAX_RUNNING = 100;

type BulkRow = Omit<BulkTrigger, 'createdAt' | 'finishedAt'> & {
  readonly tenant: string;
  readonly channel: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
};

interface RunningRow extends BulkRow {
  readonly lastId: string | null;
  /** With those of the time since. */
  readonly tokens: number;
}

interface Match extends Subject {
  readonly deliveryId: string;
  readonly integrationId: string;
}

const COLUMNS = `bulk_id AS "bulkId", tenant, channel, state, count, done, skipped, filter,
  only_missing AS "onlyMissing", per_second AS "perSecond", created_at AS "createdAt", finished_at AS "finishedAt"`;

@Injectable()
export class BulkRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(TriggerRepository) private readonly triggers: TriggerRepository,
  ) {}

  /** How many lanes have a delivery that matches. */
  async count(tx: Tx, reader: Reader, filter: DeliveryFilter): Promise<number> {
    planForParameters(tx);
    const where = repeatable(reader, filter);
    const [row] = await tx.query<{ count: number }>(
      `SELECT count(DISTINCT d.lane_key)::int AS count FROM ${DELIVERIES} WHERE ${where.sql}`,
      where.params,
    );
    return row?.count ?? 0;
  }

  async insert(
    tx: Tx,
    { tenant, channel }: Reader,
    bulk: Pick<BulkTrigger, 'bulkId' | 'count' | 'filter' | 'onlyMissing' | 'perSecond'>,
  ): Promise<void> {
    await tx.query(
      `INSERT INTO dispatcher.bulks (bulk_id, tenant, channel, count, filter, only_missing, per_second)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        bulk.bulkId,
        tenant,
        channel ?? null,
        bulk.count,
        JSON.stringify(bulk.filter),
        bulk.onlyMissing,
        bulk.perSecond,
      ],
    );
  }

  async find(tx: Tx, { tenant, channel }: Reader, bulkId: string): Promise<BulkTrigger | undefined> {
    const [row] = await tx.query<BulkRow>(
      `SELECT ${COLUMNS} FROM dispatcher.bulks
       WHERE tenant = $1 AND bulk_id = $2 AND ($3::text IS NULL OR channel = $3)`,
      [tenant, bulkId, channel ?? null],
    );
    return row && viewOf(row);
  }

  /** @returns whether it was running. */
  async cancel(tx: Tx, { tenant, channel }: Reader, bulkId: string): Promise<boolean> {
    const stopped = await tx.execute(
      `UPDATE dispatcher.bulks SET state = 'cancelled', finished_at = now()
       WHERE tenant = $1 AND bulk_id = $2 AND ($3::text IS NULL OR channel = $3) AND state = 'running'`,
      [tenant, bulkId, channel ?? null],
    );
    return stopped > 0;
  }

  async running(): Promise<readonly string[]> {
    const rows = await query<{ bulkId: string }>(
      this.dataSource,
      `SELECT bulk_id AS "bulkId" FROM dispatcher.bulks WHERE state = 'running'
       ORDER BY tokens_at LIMIT ${String(MAX_RUNNING)}`,
    );
    return rows.map(({ bulkId }) => bulkId);
  }

  /**
   * Makes what the throttle allows by now, in one transaction with the place that the bulk trigger has come to: a
   * process that dies in the middle has made all of it or nothing.
   *
   * @returns undefined when another process is at it, or it is not its time, or it has ended.
   */
  async step(bulkId: string): Promise<BulkTrigger | undefined> {
    return await inTransaction(this.dataSource, async (tx) => {
      const [bulk] = await tx.query<RunningRow>(
        `SELECT ${COLUMNS}, last_id AS "lastId",
                least(per_second, tokens + per_second * extract(epoch FROM clock_timestamp() - tokens_at))::float8
                  AS tokens
         FROM dispatcher.bulks WHERE bulk_id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED`,
        [bulkId],
      );
      if (bulk === undefined || bulk.tokens < 1) return undefined;
      const limit = Math.min(MAX_BATCH, Math.floor(bulk.tokens));
      const matches = await nextMatches(tx, bulk, limit);
      const made = await this.make(tx, bulk, matches);
      const [row] = await tx.query<BulkRow>(
        `UPDATE dispatcher.bulks SET
           done = done + $2, last_id = coalesce($4, last_id), tokens = $5, tokens_at = clock_timestamp(),
           -- What was counted and is not there any more by its turn has been passed over as well.
           skipped = CASE WHEN $6 THEN greatest(count - done - $2, skipped + $3) ELSE skipped + $3 END,
           -- What came to match only after it was counted.
           count = greatest(count, done + $2 + skipped + $3),
           state = CASE WHEN $6 THEN 'done' ELSE state END, finished_at = CASE WHEN $6 THEN clock_timestamp() END
         WHERE bulk_id = $1 RETURNING ${COLUMNS}`,
        [
          bulkId,
          made,
          matches.length - made,
          matches.at(-1)?.deliveryId ?? null,
          bulk.tokens - made,
          matches.length < limit,
        ],
      );
      return row && viewOf(row);
    });
  }

  /** @returns how many deliveries. */
  private async make(tx: Tx, bulk: BulkRow, matches: readonly Match[]): Promise<number> {
    if (matches.length === 0) return 0;
    const wanted = new Set(matches.map((match) => `${match.integrationId}:${subjectKey(match)}`));
    const candidates = await this.triggers.candidates(tx, bulk.tenant);
    const plan = await this.triggers.plan(tx, matches, candidates, (integration, head) => {
      if (bulk.channel !== null && head.channel !== bulk.channel) return false;
      return (
        wanted.has(`${integration.integrationId}:${subjectKey(head)}`) && isReached(integration, head, true)
      );
    });
    const { bulkId: triggerId, onlyMissing } = bulk;
    return (await this.triggers.make(tx, plan, { triggerId, onlyMissing })).length;
  }
}

/** Deliveries of orders and recipes. */
function repeatable(reader: Reader, filter: DeliveryFilter): Conditions {
  const where = conditionsOf(reader, filter);
  where.text(`d.kind IN ('order', 'recipe')`);
  // Who asks for what failed does not mean what has been delivered since.
  if (filter.state === 'failed')
    where.text(`NOT EXISTS (
      SELECT FROM dispatcher.deliveries s
      WHERE s.tenant = d.tenant AND s.subject = d.subject AND s.lane_key = d.lane_key
        AND s.delivery_id > d.delivery_id AND s.state = 'succeeded')`);
  return where;
}

/**
 * The next lanes, oldest first: each stands where its newest delivery that matches stands, and a lane that has a
 * delivery of this bulk trigger has had its turn.
 */
async function nextMatches(tx: Tx, bulk: RunningRow, limit: number): Promise<readonly Match[]> {
  planForParameters(tx);
  const { tenant, channel, filter, createdAt } = bulk;
  const where = repeatable({ tenant, channel: channel ?? undefined }, filter);
  where.add('d.created_at < (SELECT b.created_at FROM dispatcher.bulks b WHERE b.bulk_id = $?)', bulk.bulkId);
  // A minute covers the difference of two clocks.
  where.add('d.delivery_id < $?', firstIdAt(createdAt.getTime() + 60_000));
  const newer = where.of('n');
  where.add('d.delivery_id > $?', bulk.lastId ?? undefined);
  where.add(
    `NOT EXISTS (SELECT FROM dispatcher.deliveries m WHERE m.trigger_id = $? AND m.lane_key = d.lane_key)`,
    bulk.bulkId,
  );
  return await tx.query<Match>(
    `SELECT d.delivery_id AS "deliveryId", d.integration_id AS "integrationId", d.tenant, d.kind, d.subject
     FROM ${DELIVERIES}
     WHERE ${where.sql} AND NOT EXISTS (
       SELECT FROM dispatcher.deliveries n
       WHERE n.tenant = d.tenant AND n.subject = d.subject AND n.lane_key = d.lane_key
         AND n.delivery_id > d.delivery_id AND ${newer})
     ORDER BY d.delivery_id LIMIT ${String(limit)}`,
    where.params,
  );
}

function viewOf({ tenant: _tenant, channel: _channel, ...row }: BulkRow): BulkTrigger {
  return {
    bulkId: row.bulkId,
    state: row.state,
    count: row.count,
    done: row.done,
    skipped: row.skipped,
    filter: row.filter,
    onlyMissing: row.onlyMissing,
    perSecond: row.perSecond,
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}
