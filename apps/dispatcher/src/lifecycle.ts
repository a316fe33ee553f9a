import { setTimeout as delay } from 'node:timers/promises';

import { Inject, Injectable } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';

import type { KafkaPublisher } from '@heddle/messaging';
import { connectDataSource, schemaIsCurrent } from '@heddle/persistence';
import type { DataSource, OutboxRelay } from '@heddle/persistence';
import { HEALTH, LOGGER, describeError } from '@heddle/platform';
import type { Health, Logger } from '@heddle/platform';

import { SilenceSweep } from './attempts/silence.sweep.js';
import { Housekeeping } from './housekeeping/housekeeping.js';
import { OfferPump } from './offers/offer.pump.js';
import { DATA_SOURCE, OUTBOX, PUBLISHER } from './tokens.js';

const SCHEMA_POLL_MS = 1_000;

/** What runs besides HTTP and the consumers: nothing of it before the schema is there. */
@Injectable()
export class Lifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly closing = new AbortController();
  private fault: string | undefined = 'the schema has not been seen yet';
  private starting: Promise<void> | undefined;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(PUBLISHER) private readonly publisher: KafkaPublisher,
    @Inject(OUTBOX) private readonly relay: OutboxRelay,
    @Inject(OfferPump) private readonly pump: OfferPump,
    @Inject(SilenceSweep) private readonly silence: SilenceSweep,
    @Inject(Housekeeping) private readonly housekeeping: Housekeeping,
    @Inject(HEALTH) private readonly health: Health,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.health.addReadiness('schema', () => this.fault);
    this.publisher.connect().catch((error: unknown) => {
      this.logger.error({ err: describeError(error) }, 'kafka.not-connected');
    });
    this.starting = this.start().catch((error: unknown) => {
      if (!this.closing.signal.aborted)
        this.logger.error({ err: describeError(error) }, 'service.start-failed');
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.closing.abort();
    await this.starting;
    await Promise.all([this.pump.stop(), this.silence.stop(), this.housekeeping.stop()]);
  }

  /** The consumers are closed by now: what their last chunks have enqueued still goes out. */
  async onApplicationShutdown(): Promise<void> {
    await this.relay.stop();
    await this.publisher.close();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  private async start(): Promise<void> {
    const { signal } = this.closing;
    await connectDataSource(this.dataSource, { logger: this.logger, signal });
    while ((this.fault = await schemaIsCurrent(this.dataSource)) !== undefined)
      await delay(SCHEMA_POLL_MS, undefined, { signal });
    signal.throwIfAborted();
    this.relay.start();
    this.pump.start();
    this.silence.start();
    this.housekeeping.start();
  }
}
