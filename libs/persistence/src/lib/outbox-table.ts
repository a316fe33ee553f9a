import type { DatabaseClient } from './database-client.js';
import { identifier } from './identifier.js';

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
  async read(shards: readonly number[]): Promise<StoredEvent[]> {
    const { rows } = await this.client.query<StoredEvent>(
      `WITH heads AS MATERIALIZED (
         SELECT h.id, sum(h.bytes) OVER (ORDER BY h.id) AS bytes, row_number() OVER (ORDER BY h.id) AS position
         FROM unnest($1::smallint[]) AS s (shard) CROSS JOIN LATERAL (
           SELECT o.id, octet_length(o.data) + octet_length(o.key) AS bytes FROM ${this.schema}.outbox AS o
           WHERE o.shard = s.shard ORDER BY o.id LIMIT ${String(SHARD_ROWS)}) AS h
       )
       SELECT o.id, o.shard, o.topic, o.key, o.event_id, o.type, o.time, o.subject, o.tenant, o.traceparent, o.data,
              o.headers
       FROM ${this.schema}.outbox AS o JOIN heads USING (id)
       WHERE position <= ${String(READ_ROWS)} AND (heads.bytes <= ${String(READ_BYTES)} OR position = 1)
       ORDER BY o.id`,
      [shards],
    );
    return rows;
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
