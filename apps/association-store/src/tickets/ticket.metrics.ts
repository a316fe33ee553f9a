import { Inject, Injectable } from '@nestjs/common';
import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';
import { Counter, Histogram } from 'prom-client';

export const TICKET_OUTCOMES = ['drawn', 'plain', 'failed', 'refused'] as const;
export type TicketOutcome = (typeof TICKET_OUTCOMES)[number];

@Injectable()
export class TicketMetrics {
  private readonly durations: Histogram<'outcome'>;
  private readonly missing: Counter;

  constructor(@Inject(METRICS) metrics: Metrics) {
    const registers = [metrics];
    this.durations = new Histogram({
      name: 'heddle_ticket_duration_seconds',
      help: 'Pick tickets from the request to the pages, previews included. plain: only without previews; refused: too many at once.',
      labelNames: ['outcome'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.missing = new Counter({
      name: 'heddle_ticket_previews_missing_total',
      help: 'Previews that a recipe names and that could not be fetched for its ticket.',
      registers,
    });
  }

  ended(outcome: TicketOutcome, seconds: number): void {
    this.durations.observe({ outcome }, seconds);
  }

  previewsMissing(count: number): void {
    if (count > 0) this.missing.inc(count);
  }
}
