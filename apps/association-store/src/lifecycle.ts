import { Inject, Injectable } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';
import { DataSource } from 'typeorm';

import { KafkaPublisher } from '@heddle/messaging';
import { OutboxRelay, SchemaWatch } from '@heddle/persistence';
import { HEALTH, LOGGER, describeError } from '@heddle/platform';
import type { Health, Logger } from '@heddle/platform';

import { purgeFiles } from './files/file-purge.js';
import { OBJECT_STORE } from './files/object-store.js';
import type { ObjectStore } from './files/object-store.js';
import { Linker } from './links/linker.js';
import { purgeHistory } from './operations/history-purge.js';
import { Loop } from './operations/loop.js';
import { HISTORY_DAYS, UNUSED_FILES_DAYS } from './tokens.js';
import { OverdueWatch } from './waiting/overdue-watch.js';

const HOUR_MS = 60 * 60 * 1_000;

/** What runs besides HTTP and the consumers, which the framework starts after this and stops in between. */
@Injectable()
export class Lifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly purge: Loop;
  private readonly filePurge: Loop;

  constructor(
    dataSource: DataSource,
    private readonly schema: SchemaWatch,
    private readonly publisher: KafkaPublisher,
    private readonly relay: OutboxRelay,
    private readonly linker: Linker,
    private readonly overdue: OverdueWatch,
    @Inject(HEALTH) private readonly health: Health,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(HISTORY_DAYS) historyDays: number,
    @Inject(OBJECT_STORE) objects: ObjectStore,
    @Inject(UNUSED_FILES_DAYS) unusedFilesDays: number,
  ) {
    this.purge = new Loop({
      name: 'purge',
      everyMs: HOUR_MS,
      logger,
      step: async (signal) => {
        const purged = await purgeHistory(
          dataSource,
          new Date(Date.now() - historyDays * 24 * HOUR_MS),
          signal,
        );
        if (purged.orders + purged.recipes > 0) logger.info(purged, 'history.purged');
        return false;
      },
    });
    this.filePurge = new Loop({
      name: 'file-purge',
      everyMs: HOUR_MS,
      logger,
      step: async (signal) => {
        const now = new Date();
        const untouchedSince = new Date(now.getTime() - unusedFilesDays * 24 * HOUR_MS);
        const gone = await purgeFiles(dataSource, objects, { untouchedSince, now, signal });
        if (gone > 0) logger.info({ objects: gone }, 'files.purged');
        return false;
      },
    });
  }

  onApplicationBootstrap(): void {
    this.health.addReadiness('schema', () => this.schema.fault);
    this.schema.start(() => {
      this.linker.start();
      this.overdue.start();
      this.purge.start();
      this.filePurge.start();
    });
    this.publisher.connect().catch((error: unknown) => {
      this.logger.error({ err: describeError(error) }, 'kafka.not-connected');
    });
    this.relay.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    const loops = [this.linker, this.overdue, this.purge, this.filePurge];
    await Promise.all(loops.map((loop) => loop.stop()));
  }

  /** The consumers are closed by now: what their last chunks queued still goes out. */
  async onApplicationShutdown(): Promise<void> {
    await this.relay.stop();
    await this.publisher.close();
    await this.schema.stop();
  }
}
