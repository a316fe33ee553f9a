import { Controller, Inject } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

import { TOPIC } from '@heddle/contracts';
import type { DeliveryAttemptedV1 } from '@heddle/contracts';
import type { BatchResult, EventBatch } from '@heddle/messaging';

import { OfferPump } from '../offers/offer.pump.js';
import { OUTBOX } from '../tokens.js';
import type { Outbox } from '../tokens.js';

import { ReportRepository } from './report.repository.js';

/** What workers say about their offers. */
@Controller()
export class ReportConsumer {
  constructor(
    @Inject(ReportRepository) private readonly reports: ReportRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(OUTBOX) private readonly outbox: Outbox,
  ) {}

  @EventPattern(TOPIC.deliveryAttempted)
  async attempted(@Payload() batch: EventBatch<DeliveryAttemptedV1>): Promise<BatchResult> {
    if (await this.reports.apply(batch)) {
      this.outbox.nudgeAtLeisure();
      this.pump.look();
    }
    return undefined;
  }
}
