import type { DataSource } from 'typeorm';

import { identifier } from './identifier.js';
import { execute } from './transaction.js';
import type { Tx } from './transaction.js';

/** One chunk of one partition, as the consumer got it. */
export interface ChunkPosition {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: string;
  /** One past the last message of the chunk. */
  readonly nextOffset: string;
}

/**
 * Moves the position of a partition to the end of a chunk and locks it until the transaction ends, so that two
 * group members who both believe to own the partition take turns. Never moves it back. The first statement of
 * a chunk's transaction.
 *
 * @returns the offset below which everything was consumed before; events below it have to be skipped.
 */
export async function movePosition(tx: Tx, schema: string, chunk: ChunkPosition): Promise<bigint> {
  // ON CONFLICT locks the row and reads its newest version; RETURNING alone would show the new value only.
  const [row] = await tx.query<{ consumed_before: string }>(
    `INSERT INTO ${identifier(schema)}.consumed_positions AS p (topic, partition, next_offset)
     VALUES ($1, $2, $3)
     ON CONFLICT (topic, partition) DO UPDATE
       SET consumed_before = p.next_offset, next_offset = greatest(p.next_offset, excluded.next_offset),
           moved_at = clock_timestamp()
     RETURNING consumed_before`,
    [chunk.topic, chunk.partition, chunk.nextOffset],
  );
  return BigInt(row?.consumed_before ?? 0);
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
