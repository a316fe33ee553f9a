import { Inject, Injectable } from '@nestjs/common';

import { Repeated } from '@heddle/persistence';
import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { DeliveryMetrics } from '../deliveries/delivery.metrics.js';
import { OfferPump } from '../offers/offer.pump.js';
import { POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { NoticeRepository } from './notice.repository.js';

/** Looks for notices whose list may be told. */
@Injectable()
export class NoticeSweep {
  private readonly repeated: Repeated;
  private stopping = false;

  constructor(
    @Inject(NoticeRepository) private readonly notices: NoticeRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(DeliveryMetrics) private readonly metrics: DeliveryMetrics,
    @Inject(POLICY) policy: Policy,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const everyMs = Math.max(100, Math.min(2_000, policy.notificationWindowMs / 4));
    this.repeated = new Repeated('notices.sweep-failed', everyMs, logger, () => this.sweep());
  }

  start(): void {
    this.repeated.start();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.repeated.stop();
  }

  async sweep(): Promise<void> {
    for (let more = true; more && !this.stopping;) {
      const pass = await this.notices.notify();
      ({ more } = pass);
      for (const { tenant, integrationId, deliveryId, list, kind, notices } of pass.made) {
        this.metrics.notified(kind);
        this.logger.info(
          { tenant_id: tenant, integration_id: integrationId, delivery_id: deliveryId, list, kind, notices },
          'notification.made',
        );
      }
      if (pass.made.length > 0) this.pump.nudge();
    }
  }
}
