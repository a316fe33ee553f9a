import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { Loop } from '../operations/loop.js';
import { StoreMetrics } from '../operations/store-metrics.js';
import { WAITING_ALERT_MS } from '../tokens.js';

import { claimTurn, countOverdue, longestWaiting } from './overdue.repository.js';

const LOOK_MS = 60_000;
const SAY_MS = 60 * 60 * 1_000;

/**
 * Watches for items whose recipe does not come: mostly a designer that does not post its recipes, or an order
 * system that names other ids. Every process counts them; one says so in the log, once an hour.
 */
@Injectable()
export class OverdueWatch {
  private readonly loop: Loop;

  constructor(
    private readonly dataSource: DataSource,
    private readonly metrics: StoreMetrics,
    @Inject(WAITING_ALERT_MS) private readonly longerThanMs: number,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.loop = new Loop({
      name: 'overdue',
      everyMs: LOOK_MS,
      logger,
      step: async () => {
        await this.look();
        return false;
      },
    });
  }

  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  async look(): Promise<void> {
    const overdue = await countOverdue(this.dataSource, this.longerThanMs);
    this.metrics.overdue(overdue);
    if (overdue.items === 0 || !(await claimTurn(this.dataSource, 'overdue', SAY_MS))) return;
    const longest = await longestWaiting(this.dataSource, this.longerThanMs);
    const before = new Date(Date.now() - this.longerThanMs).toISOString();
    this.logger.warn(
      {
        items: overdue.items,
        not_named: Math.max(0, overdue.items - longest.length),
        // Each tenant sees its own, by pages.
        all_at: `/api/v2/orders?status=open&waitingBefore=${before}`,
        oldest_seconds: Math.round(overdue.oldestSeconds),
        longest: longest.map(({ tenant, orderUid, itemId, recipeId, since }) => ({
          tenant_id: tenant,
          order_uid: orderUid,
          item_id: itemId,
          recipe_id: recipeId,
          since: since.toISOString(),
        })),
      },
      'items.overdue',
    );
  }
}
