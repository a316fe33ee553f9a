import type { DatabaseClient } from './database-client.js';
import { identifier } from './identifier.js';
import { SHARDS } from './outbox.js';

/** A row as the relay reads it. */
export interface StoredEvent {
  readonly id: string;
  readonly shard: number;
  readonly topic: string;
  readonly key: string;
  readonly event_id: string;
  readonly type: string;
  readonly time: Date;
  readonly subject: string | null;
  readonly tenant: string;
  readonly traceparent: string | null;
  readonly data: string;
  readonly headers: Readonly<Record<string, string>> | null;
}

export interface Refusal {
  readonly id: string;
  readonly reason: string;
}

/** Bounds of one read. */
export const READ_ROWS = 1_000;
export const READ_BYTES = 4 * 1024 * 1024;
/** A busy shard gets this many rows of a read at most, so that it cannot fill it alone for long. */
const SHARD_ROWS = 128;
/** Counting further than this tells nobody more and costs time. */
const COUNT_LIMIT = 100_000;

/** The relay's statements, all on its own connection: without the locks there is no reading either. */
export class OutboxTable {
  private readonly schema: string;

  constructor(
    private readonly client: DatabaseClient,
    schema: string,
  ) {
    this.schema = identifier(schema);
  }

  /**
   * The oldest rows of the shards: for each shard a run without gaps from its first row on. A row that is
   * larger than the bound comes alone.
   */
  async read(
    shards: readonly number[],
  ): Promise<{ readonly rows: readonly StoredEvent[]; readonly hasMore: boolean }> {
    const isWhole = shards.length === SHARDS;
    const { rows } = await this.client.query<StoredEvent & { readonly found: string }>(
      `SELECT id, shard, topic, key, event_id, type, time, subject, tenant, traceparent, data, headers, found
       FROM (
         SELECT o.*, count(*) OVER () AS found, row_number() OVER by_id AS position,
                sum(octet_length(data) + octet_length(key)) OVER by_id AS bytes
         FROM (${isWhole ? this.oldest() : this.oldestOfShards()}) AS o WINDOW by_id AS (ORDER BY id)
       ) AS o
       WHERE bytes <= ${String(READ_BYTES)} OR position = 1
       ORDER BY id`,
      isWhole ? [] : [shards],
    );
    const found = Number(rows[0]?.found ?? 0);
    return { rows, hasMore: rows.length < found || found >= SHARD_ROWS };
  }

  /** One look at one index, where each shard would take one of its own. */
  private oldest(): string {
    return `SELECT * FROM ${this.schema}.outbox ORDER BY id LIMIT ${String(READ_ROWS)}`;
  }

  private oldestOfShards(): string {
    return `SELECT h.* FROM unnest($1::smallint[]) AS s (shard) CROSS JOIN LATERAL (
              SELECT * FROM ${this.schema}.outbox AS o WHERE o.shard = s.shard
              ORDER BY o.id LIMIT ${String(SHARD_ROWS)}) AS h
            ORDER BY h.id LIMIT ${String(READ_ROWS)}`;
  }

  async delete(ids: readonly string[]): Promise<void> {
    await this.client.query(`DELETE FROM ${this.schema}.outbox WHERE id = ANY($1::bigint[])`, [ids]);
  }

  async refuse(refusals: readonly Refusal[]): Promise<void> {
    await this.client.query(
      `WITH refused AS (
         SELECT * FROM json_to_recordset($1) AS r (id bigint, reason text)
       ), gone AS (
         DELETE FROM ${this.schema}.outbox AS o USING refused WHERE o.id = refused.id RETURNING o.*, refused.reason
       )
       INSERT INTO ${this.schema}.outbox_refused
         (id, topic, key, event_id, type, time, subject, tenant, traceparent, data, headers, created_at, reason)
       SELECT id, topic, key, event_id, type, time, subject, tenant, traceparent, data, headers, created_at, reason
       FROM gone`,
      [JSON.stringify(refusals)],
    );
  }

  async measure(): Promise<{ rows: number; refusedRows: number; oldestAt: Date | null }> {
    const { rows } = await this.client.query<{ rows: string; refused: string; oldest_at: Date | null }>(
      `SELECT (SELECT count(*) FROM (SELECT FROM ${this.schema}.outbox LIMIT ${String(COUNT_LIMIT)}) AS o) AS rows,
              (SELECT count(*) FROM (SELECT FROM ${this.schema}.outbox_refused LIMIT ${String(COUNT_LIMIT)}) AS r) AS refused,
              (SELECT created_at FROM ${this.schema}.outbox ORDER BY id LIMIT 1) AS oldest_at`,
    );
    const [row] = rows;
    return {
      rows: Number(row?.rows ?? 0),
      refusedRows: Number(row?.refused ?? 0),
      oldestAt: row?.oldest_at ?? null,
    };
  }
}
