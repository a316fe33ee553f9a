import { Inject, Injectable } from '@nestjs/common';
import { OutboxRelay } from '@heddle/persistence';
import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';
import { DataSource } from 'typeorm';

import { Loop } from '../operations/loop.js';
import { StoreMetrics } from '../operations/store-metrics.js';

import { linkStep, sweepLinks } from './link.repository.js';

/**
 * Tells orders about recipes that came or changed after them, apart from the consumers: a recipe that many
 * orders use is told to them over many transactions, and holds up nobody.
 */
@Injectable()
export class Linker {
  private readonly links: Loop;
  private readonly sweep: Loop;

  constructor(
    dataSource: DataSource,
    relay: OutboxRelay,
    metrics: StoreMetrics,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.links = new Loop({
      name: 'links',
      everyMs: 1_000,
      logger,
      step: async () => {
        const { more, changes, leftOut } = await linkStep(dataSource);
        if (changes.length > 0) relay.nudge();
        metrics.orderChanges(changes, leftOut);
        if (leftOut > 0) logger.error({ file_lists: leftOut }, 'order.document-too-large');
        return more;
      },
    });
    this.sweep = new Loop({
      name: 'links-sweep',
      everyMs: 60_000,
      logger,
      step: async () => {
        const found = await sweepLinks(dataSource);
        metrics.swept(found);
        if (found.missedLinks > 0) {
          logger.error({ items: found.missedLinks }, 'links.missed');
          this.links.nudge();
        }
        return false;
      },
    });
  }

  start(): void {
    this.links.start();
    this.sweep.start();
  }

  nudge(): void {
    this.links.nudge();
  }

  async stop(): Promise<void> {
    await Promise.all([this.links.stop(), this.sweep.stop()]);
  }
}
