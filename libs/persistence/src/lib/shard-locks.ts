import type { DatabaseClient } from './database-client.js';
import { advisoryClass } from './advisory-class.js';
import { SHARDS } from './outbox.js';

/** Second key of the lock that every live relay of a schema shares; the shards have 0 to 63. */
const ALIVE = SHARDS;

/**
 * The shards of one relay: advisory locks of its own connection, so that PostgreSQL frees them when the
 * connection ends, whatever ended it. Relays find one another in pg_locks, where each holds one shared lock, and
 * each keeps to its share: 64 over their number, rounded up.
 */
export class ShardLocks {
  private readonly lockClass: number;
  private held: ReadonlySet<number> = new Set();
  /** How many relays of this schema are alive, this one included. */
  relays = 1;

  constructor(
    private readonly client: DatabaseClient,
    schema: string,
  ) {
    this.lockClass = advisoryClass(schema);
  }

  async register(): Promise<void> {
    await this.client.query('SELECT pg_advisory_lock_shared($1, $2)', [this.lockClass, ALIVE]);
  }

  get shards(): ReadonlySet<number> {
    return this.held;
  }

  /** Takes free shards up to the share, or gives up those above it that are idle. */
  async balance(isIdle: (shard: number) => boolean): Promise<void> {
    const { rows } = await this.client.query<{ key: number; exclusive: boolean }>(
      `SELECT objid::int8::int AS key, mode = 'ExclusiveLock' AS exclusive FROM pg_locks
       WHERE locktype = 'advisory' AND granted AND classid::int8 = $1 AND objsubid = 2
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [this.lockClass],
    );
    this.relays = Math.max(1, rows.filter(({ key, exclusive }) => key === ALIVE && !exclusive).length);
    const share = Math.ceil(SHARDS / this.relays);

    if (this.held.size > share) {
      await this.release([...this.held].filter(isIdle).slice(0, this.held.size - share));
    } else if (this.held.size < share) {
      const taken = new Set(rows.filter(({ exclusive }) => exclusive).map(({ key }) => key));
      const free = Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => !taken.has(shard));
      await this.acquire(shuffled(free).slice(0, share - this.held.size));
    }
  }

  private async acquire(shards: readonly number[]): Promise<void> {
    if (shards.length === 0) return;
    const { rows } = await this.client.query<{ shard: number }>(
      'SELECT shard FROM unnest($2::int[]) AS shard WHERE pg_try_advisory_lock($1, shard)',
      [this.lockClass, shards],
    );
    this.held = new Set([...this.held, ...rows.map(({ shard }) => shard)]);
  }

  private async release(shards: readonly number[]): Promise<void> {
    if (shards.length === 0) return;
    await this.client.query('SELECT pg_advisory_unlock($1, shard) FROM unnest($2::int[]) AS shard', [
      this.lockClass,
      shards,
    ]);
    this.held = new Set([...this.held].filter((shard) => !shards.includes(shard)));
  }
}

/** So that relays that start together do not all try the same ones. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
