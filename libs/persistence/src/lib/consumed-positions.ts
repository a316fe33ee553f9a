import type { DataSource } from 'typeorm';

import { identifier } from './identifier.js';
import { execute } from './transaction.js';
import type { Tx } from './transaction.js';

/** One chunk of one partition, as the consumer got it. */
export interface ChunkPosition {
  readonly topic: string;
  readonly partition: number;
  /** One past the last message of the chunk. */
  readonly nextOffset: string;
  /** Id of the Kafka cluster that counts these offsets. */
  readonly cluster: string;
}

/** Says of an event whether nothing before this transaction has consumed it. */
export type IsFresh = (event: { readonly partition: number; readonly offset: string }) => boolean;

/** Column of `consumed_positions` that came after it, for a migration of the service's schema. */
export function POSITIONS_CLUSTER_DDL(schema: string): string {
  return `ALTER TABLE ${identifier(schema)}.consumed_positions ADD COLUMN cluster text;`;
}

/**
 * Moves the positions of partitions of one topic to the ends of their chunks and locks them until the transaction
 * ends, so that two group members who both believe to own a partition take turns. Never moves one back. The first
 * statement of a chunk's transaction.
 *
 * Offsets of another cluster count something else: where Kafka was replaced, nothing of the new one was consumed.
 */
export async function movePositions(
  tx: Tx,
  schema: string,
  chunks: readonly ChunkPosition[],
): Promise<IsFresh> {
  // ON CONFLICT locks the row and reads its newest version; RETURNING alone would show the new value only.
  const rows = await tx.query<{ partition: number; consumed_before: string }>(
    `INSERT INTO ${identifier(schema)}.consumed_positions AS p (topic, partition, next_offset, cluster)
     SELECT topic, partition, "nextOffset", cluster
     FROM json_to_recordset($1) AS c (topic text, partition integer, "nextOffset" bigint, cluster text)
     ORDER BY topic, partition
     ON CONFLICT (topic, partition) DO UPDATE
       SET consumed_before = CASE WHEN p.cluster <> excluded.cluster THEN 0 ELSE p.next_offset END,
           next_offset = CASE WHEN p.cluster <> excluded.cluster THEN excluded.next_offset
                              ELSE greatest(p.next_offset, excluded.next_offset) END,
           cluster = excluded.cluster, moved_at = clock_timestamp()
     RETURNING partition, consumed_before`,
    [JSON.stringify(chunks)],
  );
  const consumedBefore = new Map(
    rows.map(({ partition, consumed_before }) => [partition, BigInt(consumed_before)]),
  );
  return ({ partition, offset }) => BigInt(offset) >= (consumedBefore.get(partition) ?? 0n);
}

/**
 * Forgets the positions of a topic, so that the group may read it again from an earlier offset. For topics
 * that were created anew, whose offsets start at 0 again, and before a group is set back in time.
 *
 * @returns how many partitions were forgotten.
 */
export async function resetPositions(dataSource: DataSource, schema: string, topic: string): Promise<number> {
  return await execute(dataSource, `DELETE FROM ${identifier(schema)}.consumed_positions WHERE topic = $1`, [
    topic,
  ]);
}
