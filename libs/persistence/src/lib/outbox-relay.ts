import { setTimeout as delay } from 'node:timers/promises';

import type { Health, Logger, Metrics } from '@heddle/platform';
import { Counter, Gauge } from 'prom-client';
import type { DataSource } from 'typeorm';

import { createClient } from './data-source.js';
import { toDatabaseError } from './database-error.js';
import type { EventPublisher, OutgoingEvent, PublishOutcome } from './event-publisher.js';
import { OutboxTable } from './outbox-table.js';
import type { Refusal, StoredEvent } from './outbox-table.js';
import { ShardLocks } from './shard-locks.js';

export interface OutboxRelayOptions {
  readonly dataSource: DataSource;
  readonly schema: string;
  /** `ce_source` of everything that this service publishes. */
  readonly source: string;
  readonly publisher: EventPublisher;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  /** Between two looks for rows that nobody announced, while this is the only relay. Default 1,000. */
  readonly pollMs?: number;
}

/** A row is withdrawn from the publisher after this and tried anew. */
const PUBLISH_DEADLINE_MS = 5_000;
/**
 * How long what was acknowledged waits for the next read, which takes its deletion along. A process that is killed before
 * repeats it.
 */
const SETTLE_MS = 20;
/** How long what is not urgent waits for something that is, whose pass takes it along. */
const LEISURE_MS = 50;
/** How long a pass waits for its slowest shard before the others go on without it. */
const STRAGGLER_MS = 50;
/** `nudge` is for what this process commits; the poll finds the rest, and only other processes make such rows. */
const POLL_ALONE_MS = 1_000;
const POLL_SHARED_MS = 100;
const BALANCE_MS = 1_000;
const MEASURE_MS = 5_000;
const RECONNECT_MS = 500;
const MAX_BACK_OFF_MS = 1_000;
/** What may be in the publisher's hands at a time; a read adds up to 4 MB. */
const MAX_PUBLISHING_BYTES = 16 * 1024 * 1024;
const WARN_EVERY_MS = 10_000;

/**
 * A session that is silent for longer than `idle_session_timeout` belongs to a process that is stopped or cut
 * off: PostgreSQL ends it and its locks are free. Ours speaks at every poll.
 */
export const RELAY_SESSION = {
  idle_session_timeout: 5_000,
  tcp_keepalives_idle: 2,
  tcp_keepalives_interval: 1,
  tcp_keepalives_count: 3,
  // The plan for a full outbox is right for an empty one too; the other way round it is not.
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
} as const;
const LIMITS = {
  connectionTimeoutMillis: 3_000,
  query_timeout: 5_000,
  statement_timeout: 4_000,
  lock_timeout: 3_000,
};

/** What became of a shard's rows, until PostgreSQL knows it too. */
interface Settled {
  readonly shard: number;
  readonly acknowledged: readonly string[];
  readonly refused: readonly Refusal[];
}

/**
 * Publishes outbox rows, oldest first within each of 64 shards, and deletes each after its acknowledgement.
 *
 * A shard belongs to one relay at a time, by an advisory lock on the connection that also reads and deletes. A
 * shard whose rows are on their way is not read again before their fate is in PostgreSQL; a row that could not
 * be published holds back the shard's later rows, so no key is ever reordered. Losing the connection or the
 * process repeats at most what was on its way: never skips, as nothing is ever found by "id above the last one".
 */
export class OutboxRelay {
  private readonly publishing = new Map<number, number>();
  private readonly backOffs = new Map<number, { readonly failures: number; readonly until: number }>();
  private settled: Settled[] = [];
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  /** Rows may be there that no read has looked for. */
  private isUnread = true;
  private leisure: NodeJS.Timeout | undefined;
  /** Something happened since the last pass began. */
  private isNudged = false;
  private wake: () => void = () => undefined;
  private refusedRows = 0;
  private oldestAt: Date | null = null;
  private warnedAt = -Infinity;
  private readonly rows: Gauge;
  private readonly shards: Gauge;
  private readonly published: Counter;
  private readonly failures: Counter<'code'>;

  constructor(private readonly options: OutboxRelayOptions) {
    const registers = [options.metrics];
    // Computed when asked for, so that an age keeps growing while nothing can be read.
    const age = (): number => (this.oldestAt ? Math.max(0, Date.now() - this.oldestAt.getTime()) / 1_000 : 0);
    new Gauge({
      name: 'heddle_outbox_oldest_age_seconds',
      help: 'Age of the oldest outbox row.',
      registers,
      collect(): void {
        this.set(age());
      },
    });
    this.rows = new Gauge({
      name: 'heddle_outbox_rows',
      help: 'Outbox rows, counted up to 100,000.',
      registers,
    });
    const refusedRows = (): number => this.refusedRows;
    new Gauge({
      name: 'heddle_outbox_refused_rows',
      help: 'Rows that Kafka refused for good and nobody has looked after yet.',
      registers,
      collect(): void {
        this.set(refusedRows());
      },
    });
    this.shards = new Gauge({
      name: 'heddle_outbox_shards',
      help: 'Shards that this process relays.',
      registers,
    });
    this.published = new Counter({
      name: 'heddle_outbox_published_total',
      help: 'Outbox rows that Kafka acknowledged.',
      registers,
    });
    this.failures = new Counter({
      name: 'heddle_outbox_publish_failures_total',
      help: 'Outbox rows that were not acknowledged in one try.',
      labelNames: ['code'],
      registers,
    });
    options.health.addReadiness('outbox', () =>
      this.refusedRows > 0 ? `${String(this.refusedRows)} outbox rows were refused by Kafka` : undefined,
    );
  }

  /** Returns at once; waits for PostgreSQL by itself, at the start and whenever it goes away. */
  start(): void {
    this.running ??= this.run();
  }

  /** To be called after a commit that enqueued something: it is read now and not at the next poll. */
  nudge(): void {
    this.isUnread = true;
    this.stir();
  }

  /** The same for what nobody is held up by: it is read with what is urgent, or after {@link LEISURE_MS}. */
  nudgeAtLeisure(): void {
    this.leisure ??= setTimeout(() => {
      this.leisure = undefined;
      this.nudge();
    }, LEISURE_MS).unref();
  }

  /** Ends after the rows that are on their way; the rest stays for the next process. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.nudge();
    await this.running;
    this.clearLeisure();
  }

  private clearLeisure(): void {
    clearTimeout(this.leisure);
    this.leisure = undefined;
  }

  private stir(): void {
    this.isNudged = true;
    this.wake();
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.runSession();
      } catch (error) {
        this.shards.set(0);
        this.warn('outbox.connection_lost', {
          reason: toDatabaseError(error, 'relaying the outbox').message,
        });
        await delay(RECONNECT_MS * (0.5 + Math.random()), undefined, { signal: this.stopping.signal }).catch(
          () => undefined,
        );
      }
    }
  }

  /** From connecting to losing the connection, or to the end. */
  private async runSession(): Promise<void> {
    const { dataSource, schema } = this.options;
    const client = createClient(dataSource, { suffix: 'outbox', settings: RELAY_SESSION, limits: LIMITS });
    // The next statement rejects and says it again; without a listener the event would end the process.
    client.on('error', () => {
      this.wake();
    });
    try {
      await client.connect();
      const locks = new ShardLocks(client, schema);
      const table = new OutboxTable(client, schema);
      await locks.register();
      await this.relay(locks, table);
      await this.drain(table);
    } finally {
      client.destroy();
    }
  }

  private async relay(locks: ShardLocks, table: OutboxTable): Promise<void> {
    let balanceAt = 0;
    let measureAt = 0;
    this.isUnread = true;
    while (!this.stopping.signal.aborted) {
      this.isNudged = false;
      if (performance.now() >= balanceAt) {
        await this.settle(table);
        const before = locks.shards;
        await locks.balance((shard) => !this.publishing.has(shard));
        if (locks.shards !== before) this.isUnread = true;
        this.shards.set(locks.shards.size);
        balanceAt = performance.now() + BALANCE_MS;
      }
      if (performance.now() >= measureAt) {
        await this.measure(table);
        measureAt = performance.now() + MEASURE_MS;
      }
      const hasPublished = await this.pass(locks, table);
      if (this.settled.length > 0) await this.restForNews();
      else if (!hasPublished) await this.restUntilPoll(locks.relays);
    }
  }

  private async restForNews(): Promise<void> {
    if (!this.isUnread) await this.rest(SETTLE_MS);
  }

  private async restUntilPoll(relays: number): Promise<void> {
    if (this.isNudged) return;
    await this.rest(relays > 1 ? POLL_SHARED_MS : (this.options.pollMs ?? POLL_ALONE_MS));
    this.isUnread = true;
  }

  /** @returns whether there was anything to publish. */
  private async pass(locks: ShardLocks, table: OutboxTable): Promise<boolean> {
    const settling = this.settle(table);
    const settledNow = new Set(this.settled.map(({ shard }) => shard));
    const bytes = [...this.publishing].reduce(
      (sum, [shard, size]) => sum + (settledNow.has(shard) ? 0 : size),
      0,
    );
    const now = performance.now();
    const free = [...locks.shards].filter(
      (shard) =>
        (!this.publishing.has(shard) || settledNow.has(shard)) &&
        (this.backOffs.get(shard)?.until ?? 0) <= now,
    );
    if (!this.isUnread || bytes > MAX_PUBLISHING_BYTES || free.length === 0) {
      await settling;
      return false;
    }
    this.isUnread = false;
    this.clearLeisure();
    // Sent behind what is settled and answered after it, so a row that was published is not read again.
    const [, { rows, hasMore }] = await Promise.all([settling, table.read(free)]);
    if (hasMore || free.length < locks.shards.size) this.isUnread = true;
    if (rows.length === 0) return false;
    const byShard = Map.groupBy(rows, ({ shard }) => shard);
    const all = Promise.all([...byShard].map(([shard, ofShard]) => this.publish(shard, ofShard)));
    await withinMs(all, STRAGGLER_MS);
    return true;
  }

  /** Never rejects. The shard stays taken until its outcome has been settled. */
  private async publish(shard: number, rows: readonly StoredEvent[]): Promise<void> {
    this.publishing.set(
      shard,
      rows.reduce((sum, { data }) => sum + data.length, 0),
    );
    const outcomes = await this.outcomesOf(rows);
    const acknowledged: string[] = [];
    const refused: Refusal[] = [];
    const stuck = new Set<string>();
    let firstFailure: string | undefined;
    rows.forEach((row, index) => {
      // Acknowledged or not, it goes out again behind the earlier row of its key that did not get through.
      if (stuck.has(row.key)) return;
      const outcome = outcomes[index] ?? NO_OUTCOME;
      if (outcome.ok) {
        acknowledged.push(row.id);
        return;
      }
      const { code, permanent, message } = outcome.error;
      this.failures.inc({ code });
      if (permanent) {
        refused.push({ id: row.id, reason: message === undefined ? code : `${code}: ${message}` });
        this.options.logger.error(
          { tenant_id: row.tenant, event_id: row.event_id, topic: row.topic, code },
          'outbox.row_refused',
        );
      } else {
        stuck.add(row.key);
        firstFailure ??= code;
      }
    });
    this.published.inc(acknowledged.length);
    if (firstFailure === undefined) {
      this.backOffs.delete(shard);
    } else {
      const failures = (this.backOffs.get(shard)?.failures ?? 0) + 1;
      const waitMs = Math.min(50 * 2 ** failures, MAX_BACK_OFF_MS);
      this.backOffs.set(shard, { failures, until: performance.now() + waitMs });
      this.warn('outbox.publish_deferred', { code: firstFailure, shard, failures });
    }
    // What was not acknowledged is read again.
    if (acknowledged.length < rows.length) this.isUnread = true;
    this.settled.push({ shard, acknowledged, refused });
    this.stir();
  }

  private async outcomesOf(rows: readonly StoredEvent[]): Promise<readonly PublishOutcome[]> {
    const { publisher, source } = this.options;
    try {
      return await publisher.publish(
        rows.map((row) => toEvent(row, source)),
        { deadlineMs: PUBLISH_DEADLINE_MS },
      );
    } catch {
      return [];
    }
  }

  /** Tells PostgreSQL what was published, in one statement for all shards, then lets them be read again. */
  private async settle(table: OutboxTable): Promise<void> {
    const done = [...this.settled];
    const acknowledged = done.flatMap((shard) => shard.acknowledged);
    const refused = done.flatMap((shard) => shard.refused);
    await Promise.all([
      acknowledged.length > 0 && table.delete(acknowledged),
      refused.length > 0 && table.refuse(refused),
    ]);
    this.refusedRows += refused.length;
    // After the statements: where they fail, the next session settles the same again. What came meanwhile stays.
    this.settled = this.settled.filter((shard) => !done.includes(shard));
    for (const { shard } of done) this.publishing.delete(shard);
  }

  private async measure(table: OutboxTable): Promise<void> {
    const { rows, refusedRows, oldestAt } = await table.measure();
    this.rows.set(rows);
    this.refusedRows = refusedRows;
    this.oldestAt = oldestAt;
  }

  /** What is on its way at the end is acknowledged or withdrawn by its deadline. */
  private async drain(table: OutboxTable): Promise<void> {
    const deadline = performance.now() + PUBLISH_DEADLINE_MS;
    while (this.publishing.size > 0 && performance.now() < deadline) {
      await this.settle(table);
      if (this.publishing.size > 0 && this.settled.length === 0) await this.rest(POLL_SHARED_MS);
    }
  }

  private async rest(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = (): void => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = () => undefined;
  }

  /** An outage is one line, not one for each shard and try. */
  private warn(message: string, fields: Readonly<Record<string, unknown>>): void {
    if (performance.now() - this.warnedAt < WARN_EVERY_MS) return;
    this.warnedAt = performance.now();
    this.options.logger.warn(fields, message);
  }
}

const NO_OUTCOME: PublishOutcome = { ok: false, error: { code: 'UNKNOWN', permanent: false } };

function toEvent(row: StoredEvent, source: string): OutgoingEvent {
  return {
    topic: row.topic,
    key: row.key,
    id: row.event_id,
    type: row.type,
    source,
    time: row.time.toISOString(),
    tenant: row.tenant,
    data: row.data,
    ...(row.subject !== null && { subject: row.subject }),
    ...(row.traceparent !== null && { traceparent: row.traceparent }),
    ...(row.headers !== null && { headers: row.headers }),
  };
}

/** Resolves when the work is done or the time is over, whichever comes first. */
async function withinMs(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}
