import { Inject, Injectable } from '@nestjs/common';

import { faultOf } from '@heddle/persistence';
import { LOGGER, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { OUTBOX, POLICY } from '../tokens.js';
import type { Outbox, Policy } from '../tokens.js';

import { OfferRepository } from './offer.repository.js';

const COMPLAIN_EVERY_MS = 10_000;

/**
 * Turns what is ready into offers: at once after a commit of this process, and at intervals for what is due by
 * the clock or was made ready elsewhere. One pass at a time; a nudge meanwhile asks for one more.
 */
@Injectable()
export class OfferPump {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  private isTime = true;
  private stopped = true;
  private complainedAt = -Infinity;

  constructor(
    @Inject(OfferRepository) private readonly offers: OfferRepository,
    @Inject(OUTBOX) private readonly outbox: Outbox,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.stopped = false;
    this.schedule();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** Something may have become ready. Also relays what the caller's transaction has enqueued. */
  nudge(): void {
    this.outbox.nudge();
    this.look();
  }

  /** Something may have become ready. */
  look(): void {
    this.again = true;
    this.run();
  }

  private schedule(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.isTime = true;
      this.run();
      this.schedule();
    }, this.policy.pumpIntervalMs);
  }

  private run(): void {
    if (this.running !== undefined || this.stopped) return;
    this.running = this.passes().finally(() => {
      this.running = undefined;
      if (this.again) this.run();
    });
  }

  private async passes(): Promise<void> {
    try {
      if (this.isTime) {
        this.isTime = false;
        const { isDue, isReady } = await this.offers.look();
        if (isDue) await this.offers.wakeDue();
        this.again ||= isDue || isReady;
      }
      while (this.again && !this.stopped) {
        this.again = false;
        if (!(await this.offers.isReady())) continue;
        const { offered, more } = await this.offers.offer();
        if (offered > 0) this.outbox.nudge();
        if (more) this.again = true;
      }
    } catch (error) {
      this.again = false;
      this.complain(error);
    }
  }

  /** The next interval tries again. A mistake of ours is said aloud, a database that is away now and then. */
  private complain(error: unknown): void {
    if (faultOf(error) === 'poison') this.logger.error({ err: describeError(error) }, 'offer.pass-failed');
    else if (performance.now() - this.complainedAt > COMPLAIN_EVERY_MS) {
      this.complainedAt = performance.now();
      this.logger.warn({ err: describeError(error) }, 'offer.pass-failed');
    }
  }
}
