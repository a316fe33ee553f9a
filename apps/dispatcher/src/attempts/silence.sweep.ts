import { Inject, Injectable } from '@nestjs/common';

import { Repeated } from '@heddle/persistence';
import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { OfferPump } from '../offers/offer.pump.js';
import { POLICY, REPORTS_CAUGHT_UP } from '../tokens.js';
import type { Policy, ReportsCaughtUp } from '../tokens.js';

import { ReportRepository } from './report.repository.js';

/** Looks for workers that started an attempt and were not heard of again. */
@Injectable()
export class SilenceSweep {
  private readonly repeated: Repeated;

  constructor(
    @Inject(ReportRepository) private readonly reports: ReportRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(REPORTS_CAUGHT_UP) private readonly caughtUp: ReportsCaughtUp,
    @Inject(LOGGER) logger: Logger,
  ) {
    const everyMs = Math.max(100, Math.min(2_000, policy.silenceMs / 4));
    this.repeated = new Repeated('silence.sweep-failed', everyMs, logger, () => this.sweep());
  }

  start(): void {
    this.repeated.start();
  }

  async stop(): Promise<void> {
    await this.repeated.stop();
  }

  /** Whoever has not read every report for at least as long as the silence lasts cannot call it silence. */
  async sweep(): Promise<void> {
    const since = this.caughtUp();
    if (since === undefined || performance.now() - since < this.policy.silenceMs) return;
    if (await this.reports.giveUp(this.policy.silenceMs)) this.pump.nudge();
  }
}
