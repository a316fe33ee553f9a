import type { AttemptOutcome, DestinationKind } from '@heddle/contracts';
import type { DestinationError } from '@heddle/destination-kit';
import type { Metrics } from '@heddle/platform';
import { Counter, Gauge, Histogram } from 'prom-client';

export class WorkerMetrics {
  private readonly attempts: Counter<'destination' | 'outcome' | 'code'>;
  private readonly durations: Histogram<'destination' | 'outcome'>;

  constructor(
    metrics: Metrics,
    private readonly destination: DestinationKind,
    pool: { readonly pool: number; readonly inUse: () => number },
  ) {
    const registers = [metrics];
    this.attempts = new Counter({
      name: 'heddle_delivery_attempts_total',
      help: 'Attempts by how they ended.',
      labelNames: ['destination', 'outcome', 'code'],
      registers,
    });
    this.durations = new Histogram({
      name: 'heddle_delivery_attempt_duration_seconds',
      help: 'From the start of an attempt to its end.',
      labelNames: ['destination', 'outcome'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600],
      registers,
    });
    new Gauge({
      name: 'heddle_attempt_pool_in_use',
      help: 'Attempts that this process makes now.',
      labelNames: ['destination'],
      registers,
      collect() {
        this.set({ destination }, pool.inUse());
      },
    });
    new Gauge({
      name: 'heddle_attempt_pool_size',
      help: 'Attempts that this process makes at most.',
      labelNames: ['destination'],
      registers,
    }).set({ destination }, pool.pool);
  }

  finished(outcome: AttemptOutcome, error: DestinationError | undefined, durationMs: number): void {
    const { destination } = this;
    this.attempts.inc({ destination, outcome, code: error?.code ?? 'none' });
    this.durations.observe({ destination, outcome }, durationMs / 1_000);
  }
}
