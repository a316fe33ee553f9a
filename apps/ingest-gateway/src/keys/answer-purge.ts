import { Inject, Injectable } from '@nestjs/common';

import { ACCESS_SCHEMA } from '@heddle/access';
import { IdempotencyKeys, Repeated } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { LOGGER } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { DATA_SOURCE } from '../database.js';

const EVERY_MS = 3_600_000;

/** Answers that were kept for repeated requests hold new keys, if sealed ones: none stays longer than it is of use. */
@Injectable()
export class AnswerPurge {
  private readonly answers: IdempotencyKeys;
  private readonly purging: Repeated;

  constructor(
    @Inject(DATA_SOURCE) dataSource: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.answers = new IdempotencyKeys(dataSource, ACCESS_SCHEMA);
    this.purging = new Repeated('keys.purge-failed', EVERY_MS, logger, () => this.purge());
  }

  start(): void {
    this.purging.start();
  }

  async stop(): Promise<void> {
    await this.purging.stop();
  }

  async purge(): Promise<void> {
    const gone = await this.answers.purge();
    if (gone > 0) this.logger.info({ answers: gone }, 'keys.answers-purged');
  }
}
