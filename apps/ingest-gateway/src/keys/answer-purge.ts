import { Inject, Injectable } from '@nestjs/common';

import { ACCESS_SCHEMA } from '@heddle/access';
import { IdempotencyKeys } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { LOGGER, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { DATA_SOURCE } from '../database.js';

const EVERY_MS = 3_600_000;

/** Answers that were kept for repeated requests hold new keys, if sealed ones: none stays longer than it is of use. */
@Injectable()
export class AnswerPurge {
  private readonly answers: IdempotencyKeys;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(DATA_SOURCE) dataSource: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.answers = new IdempotencyKeys(dataSource, ACCESS_SCHEMA);
  }

  start(): void {
    this.timer ??= setInterval(() => void this.purge(), EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  async purge(): Promise<void> {
    try {
      const gone = await this.answers.purge();
      if (gone > 0) this.logger.info({ answers: gone }, 'keys.answers-purged');
    } catch (error) {
      this.logger.warn({ err: describeError(error) }, 'keys.purge-failed');
    }
  }
}
