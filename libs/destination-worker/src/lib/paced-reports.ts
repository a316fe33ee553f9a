import type { OutgoingEvent, PublishResult } from '@heddle/messaging';

import type { ReportPublisher } from './destination-worker.js';

interface WaitingReport {
  readonly event: OutgoingEvent;
  readonly resolve: (result: PublishResult | undefined) => void;
}

/** Time from one request to the next: an outcome that comes later than that after another one waits for nothing. */
const PACE_MS = 15;

/**
 * Publishes outcomes together that end within a moment: a request to Kafka and a transaction of the dispatcher cost nearly
 * the same for one as for ten. What waits for the place of one in a window or a lane waits so much longer.
 */
export class PacedReports {
  private waiting: WaitingReport[] = [];
  private timer: NodeJS.Timeout | undefined;
  private sentAt = -Infinity;

  constructor(
    private readonly publisher: ReportPublisher,
    private readonly deadlineMs: number,
  ) {}

  /** One try. */
  publish(event: OutgoingEvent): Promise<PublishResult | undefined> {
    return new Promise((resolve) => {
      this.waiting.push({ event, resolve });
      this.timer ??= setTimeout(
        () => {
          this.timer = undefined;
          void this.send();
        },
        Math.max(0, this.sentAt + PACE_MS - performance.now()),
      );
    });
  }

  private async send(): Promise<void> {
    const reports = this.waiting;
    this.waiting = [];
    this.sentAt = performance.now();
    const events = reports.map(({ event }) => event);
    const results = await this.publisher.publish(events, { deadlineMs: this.deadlineMs });
    reports.forEach(({ resolve }, index) => {
      resolve(results[index]);
    });
  }
}
