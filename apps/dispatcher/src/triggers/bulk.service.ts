import { Inject, Injectable } from '@nestjs/common';

import type { Caller } from '@heddle/access';
import type {
  BulkTrigger,
  BulkTriggerAnswer,
  BulkTriggerPreview,
  BulkTriggerRequest,
} from '@heddle/contracts';
import { inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError, newId } from '@heddle/platform';

import { DATA_SOURCE } from '../tokens.js';

import { AskedOnce, recordTrigger } from './asked.js';
import type { Asked } from './asked.js';
import { BulkRepository } from './bulk.repository.js';

/** Triggers of whatever a filter finds: the runner makes the deliveries, whichever process it runs in. */
@Injectable()
export class BulkService {
  private readonly once: AskedOnce;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(BulkRepository) private readonly bulks: BulkRepository,
  ) {
    this.once = new AskedOnce(dataSource, 'trigger-bulk');
  }

  async create(caller: Caller, asked: Asked<BulkTriggerRequest>): Promise<BulkTriggerAnswer> {
    return await this.once.run(caller, asked, async (tx): Promise<BulkTriggerAnswer> => {
      const { onlyMissing, perSecond, dryRun: _, ...filter } = asked.request;
      const count = await this.bulks.count(tx, caller, filter);
      const bulkId = newId();
      await this.bulks.insert(tx, caller, { bulkId, count, filter, onlyMissing, perSecond });
      await recordTrigger(tx, caller, {
        action: 'delivery.bulk-triggered',
        triggerId: bulkId,
        details: { count, filter, onlyMissing, perSecond },
      });
      return { bulkId, count };
    });
  }

  /** What `create` would count now. Changes nothing. */
  async preview(caller: Caller, request: BulkTriggerRequest): Promise<BulkTriggerPreview> {
    const { onlyMissing: _onlyMissing, perSecond: _perSecond, dryRun: _dryRun, ...filter } = request;
    return await inTransaction(this.dataSource, async (tx) => ({
      count: await this.bulks.count(tx, caller, filter),
    }));
  }

  async read(caller: Caller, bulkId: string): Promise<BulkTrigger | undefined> {
    return await inTransaction(this.dataSource, (tx) => this.bulks.find(tx, caller, bulkId));
  }

  /**
   * Cancelling what is cancelled already changes nothing.
   *
   * @returns undefined when there is no such bulk trigger.
   * @throws {ProblemError} 409 once it is done.
   */
  async cancel(caller: Caller, bulkId: string): Promise<BulkTrigger | undefined> {
    return await inTransaction(this.dataSource, async (tx) => {
      // Waits for a batch that is being made.
      const isStopped = await this.bulks.cancel(tx, caller, bulkId);
      const bulk = await this.bulks.find(tx, caller, bulkId);
      if (bulk?.state === 'done') throw new ProblemError(409, 'the bulk trigger is done');
      if (bulk === undefined || !isStopped) return bulk;
      const { count, done, skipped } = bulk;
      await recordTrigger(tx, caller, {
        action: 'delivery.bulk-cancelled',
        triggerId: bulkId,
        details: { count, done, skipped },
      });
      return bulk;
    });
  }
}
