import { Inject, Injectable } from '@nestjs/common';

import { faultOf, Repeated } from '@heddle/persistence';
import { LOGGER, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { OfferPump } from '../offers/offer.pump.js';

import { BulkRepository } from './bulk.repository.js';

/** Between two looks while a bulk trigger runs: the smallest step in which it is throttled. */
const BUSY_MS = 200;
const IDLE_MS = 1_000;

/** Makes the deliveries of bulk triggers, bit by bit. Several dispatchers share them, one at a time at each. */
@Injectable()
export class BulkRunner {
  private readonly repeated: Repeated;
  private isBusy = false;

  constructor(
    @Inject(BulkRepository) private readonly bulks: BulkRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.repeated = new Repeated(
      'bulk.look-failed',
      () => (this.isBusy ? BUSY_MS : IDLE_MS),
      logger,
      () => this.run(),
    );
  }

  start(): void {
    this.repeated.start();
  }

  async stop(): Promise<void> {
    await this.repeated.stop();
  }

  /** One step of each. What fails is tried again at the next look, and stands in the way of no other. */
  async run(): Promise<void> {
    const running = await this.bulks.running();
    this.isBusy = running.length > 0;
    for (const bulkId of running) {
      try {
        await this.step(bulkId);
      } catch (error) {
        const level = faultOf(error) === 'transient' ? 'warn' : 'error';
        this.logger[level]({ err: describeError(error), bulk_id: bulkId }, 'bulk.step-failed');
      }
    }
  }

  private async step(bulkId: string): Promise<void> {
    const bulk = await this.bulks.step(bulkId);
    if (bulk === undefined) return;
    this.pump.nudge();
    if (bulk.state !== 'done') return;
    const { done, skipped } = bulk;
    this.logger.info({ bulk_id: bulkId, done, skipped }, 'bulk.done');
  }
}
