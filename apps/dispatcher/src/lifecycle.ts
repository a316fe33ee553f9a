import { Inject, Injectable } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';

import type { KafkaPublisher } from '@heddle/messaging';
import { SchemaWatch } from '@heddle/persistence';
import type { OutboxRelay } from '@heddle/persistence';
import { HEALTH, LOGGER, describeError } from '@heddle/platform';
import type { Health, Logger } from '@heddle/platform';

import { SilenceSweep } from './attempts/silence.sweep.js';
import { Housekeeping } from './housekeeping/housekeeping.js';
import { NoticeSweep } from './notices/notice.sweep.js';
import { OfferPump } from './offers/offer.pump.js';
import { OUTBOX, PUBLISHER } from './tokens.js';
import { BulkRunner } from './triggers/bulk.runner.js';

/** What runs besides HTTP and the consumers: nothing of it before the schema is there. */
@Injectable()
export class Lifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private stopping = false;

  constructor(
    @Inject(SchemaWatch) private readonly schema: SchemaWatch,
    @Inject(PUBLISHER) private readonly publisher: KafkaPublisher,
    @Inject(OUTBOX) private readonly relay: OutboxRelay,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(SilenceSweep) private readonly silence: SilenceSweep,
    @Inject(NoticeSweep) private readonly notices: NoticeSweep,
    @Inject(Housekeeping) private readonly housekeeping: Housekeeping,
    @Inject(BulkRunner) private readonly bulks: BulkRunner,
    @Inject(HEALTH) private readonly health: Health,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.health.addReadiness('schema', () => this.schema.fault);
    this.publisher.connect().catch((error: unknown) => {
      this.logger.error({ err: describeError(error) }, 'kafka.not-connected');
    });
    this.schema.start(() => {
      if (this.stopping) return;
      this.relay.start();
      this.pump.start();
      this.silence.start();
      this.notices.start();
      this.housekeeping.start();
      this.bulks.start();
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping = true;
    await Promise.all([
      this.pump.stop(),
      this.silence.stop(),
      this.notices.stop(),
      this.housekeeping.stop(),
      this.bulks.stop(),
    ]);
  }

  /** The consumers are closed by now: what their last chunks have enqueued still goes out. */
  async onApplicationShutdown(): Promise<void> {
    await this.relay.stop();
    await this.publisher.close();
    await this.schema.stop();
  }
}
