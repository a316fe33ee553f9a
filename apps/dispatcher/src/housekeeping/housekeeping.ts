import { Inject, Injectable } from '@nestjs/common';

import { IdempotencyKeys, deleteInBatches, inTransaction, Repeated } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { firstIdAt } from '../deliveries/first-id-at.js';
import { endDeliveries } from '../integrations/integration.repository.js';
import { CleanUp } from '../offers/clean-up.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE, POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

/** Longer than any topic keeps an event. Source: architecture, section 7. */
const HANDLED_EVENT_DAYS = 45;
const TEST_DAYS = 7;
const SWEEP_INTERVAL_MS = 5_000;
const ORPHANS_AT_ONCE = 1_000;

/** Deletes what is too old, and ends what an integration that was switched off at this very moment has left open. */
@Injectable()
export class Housekeeping {
  private readonly abort = new AbortController();
  private readonly purging: Repeated;
  private readonly sweeping: Repeated;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.purging = new Repeated('purge.failed', policy.purgeIntervalMs, logger, () => this.purge());
    this.sweeping = new Repeated('orphans.sweep-failed', SWEEP_INTERVAL_MS, logger, () => this.endOrphans());
  }

  start(): void {
    this.purging.start();
    this.sweeping.start();
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('shutting down'));
    await Promise.all([this.purging.stop(), this.sweeping.stop()]);
  }

  async purge(): Promise<void> {
    const { signal } = this.abort;
    const { historyDays } = this.policy;
    const deliveries = await deleteInBatches(this.dataSource, {
      table: `${SCHEMA}.deliveries`,
      where: 'delivery_id < $1 AND finished_at < $2',
      params: [firstIdAt(daysAgo(historyDays).getTime()), daysAgo(historyDays)],
      batchRows: 500,
      signal,
    });
    const heads = await deleteInBatches(this.dataSource, {
      table: `${SCHEMA}.heads`,
      where: `updated_at < $1 AND NOT EXISTS (
        SELECT FROM ${SCHEMA}.deliveries d WHERE d.tenant = heads.tenant AND d.subject = heads.subject)`,
      params: [daysAgo(historyDays)],
      batchRows: 500,
      signal,
    });
    const handledEvents = await deleteInBatches(this.dataSource, {
      table: `${SCHEMA}.handled_events`,
      where: 'handled_at < $1',
      params: [daysAgo(HANDLED_EVENT_DAYS)],
      signal,
    });
    const tests = await deleteInBatches(this.dataSource, {
      table: `${SCHEMA}.tests`,
      where: 'created_at < $1',
      params: [daysAgo(TEST_DAYS)],
      signal,
    });
    const bulks = await deleteInBatches(this.dataSource, {
      table: `${SCHEMA}.bulks`,
      where: 'bulk_id < $1 AND finished_at < $2',
      params: [firstIdAt(daysAgo(historyDays).getTime()), daysAgo(historyDays)],
      signal,
    });
    const keys = await new IdempotencyKeys(this.dataSource, SCHEMA).purge();
    if (deliveries + heads + handledEvents + tests + bulks + keys > 0)
      this.logger.info(
        { deliveries, heads, handled_events: handledEvents, tests, bulks, keys },
        'history.purged',
      );
  }

  /**
   * What integrations that were switched off have open still: more than one request could end, or added by a chunk
   * that had read the integration just before. None of it is offered.
   */
  async endOrphans(): Promise<number> {
    for (let total = 0; ;) {
      const ended = await inTransaction(this.dataSource, (tx) =>
        endDeliveries(tx, this.cleanUp, { limit: ORPHANS_AT_ONCE }),
      );
      total += ended;
      if (ended < ORPHANS_AT_ONCE || this.abort.signal.aborted) return total;
    }
  }
}

function daysAgo(days: number): Date {
  return new Date(Date.now() - days * 86_400_000);
}
