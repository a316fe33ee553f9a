import { Inject, Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';

import type { OutgoingEvent, PublishError } from '@heddle/messaging';
import { LOGGER, METRICS, ProblemError } from '@heddle/platform';
import type { Logger, Metrics } from '@heddle/platform';

import { EVENT_LOG } from './event-log.js';
import type { EventLog } from './event-log.js';

/** Longest wait for Kafka's acknowledgement. Source: issue 4, behaviour 11. */
export const PUBLISH_DEADLINE_MS = 5_000;
const RETRY_AFTER_S = 2;
/** While Kafka is away every request fails alike: one line says it. */
const LOG_EVERY_MS = 5_000;

/** Accepts: a call that resolves is durable, one that rejects was not accepted. */
@Injectable()
export class Intake {
  private readonly refused: Counter<'reason'>;
  private loggedAt = -Infinity;
  private unlogged = 0;

  constructor(
    @Inject(EVENT_LOG) private readonly log: EventLog,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(METRICS) metrics: Metrics,
  ) {
    this.refused = new Counter({
      name: 'heddle_intake_not_durable_total',
      help: 'Requests answered with 503, as Kafka did not acknowledge all of their events.',
      labelNames: ['reason'],
      registers: [metrics],
    });
  }

  /** @throws {ProblemError} 503 with `Retry-After` unless every event is acknowledged. */
  async append(events: readonly OutgoingEvent[]): Promise<void> {
    const results = await this.log.publish(events, { deadlineMs: PUBLISH_DEADLINE_MS });
    for (const result of results) if (!result.ok) throw this.notDurable(result.error);
  }

  private notDurable(error: PublishError): ProblemError {
    this.refused.inc({ reason: error.code });
    this.unlogged += 1;
    const now = performance.now();
    if (now - this.loggedAt >= LOG_EVERY_MS) {
      this.logger.error({ code: error.code, err: error, requests: this.unlogged }, 'intake.not-durable');
      this.loggedAt = now;
      this.unlogged = 0;
    }
    return new ProblemError(
      503,
      'the request could not be stored durably in time: send it again, what was stored of it changes nothing twice',
      {
        headers: { 'retry-after': String(RETRY_AFTER_S) },
        cause: error,
      },
    );
  }
}
