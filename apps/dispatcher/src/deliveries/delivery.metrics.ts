import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';

import type { DeliveryCode, NotificationKind } from '@heddle/contracts';
import { query } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

import { DATA_SOURCE } from '../tokens.js';

const OPEN_STATES = ['waiting', 'ready', 'in-flight', 'retrying'] as const;

interface OpenRow {
  readonly state: string;
  readonly count: number;
  readonly age: number;
}

const OPEN_GAUGES = [
  {
    name: 'heddle_deliveries_open',
    help: 'Deliveries that have not reached their final state.',
    column: 'count',
  },
  {
    name: 'heddle_delivery_oldest_open_age_seconds',
    help: 'Age of the oldest delivery that has not reached its final state.',
    column: 'age',
  },
] as const;

@Injectable()
export class DeliveryMetrics {
  private readonly acceptToDelivered: Histogram;
  private readonly attempts: Counter;
  private readonly attemptDuration: Histogram;
  private readonly finishedDeliveries: Counter;
  private readonly notifications: Counter;
  private open: Promise<ReadonlyMap<string, OpenRow>> | undefined;

  constructor(
    @Inject(METRICS) metrics: Metrics,
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
  ) {
    const registers = [metrics];
    this.acceptToDelivered = new Histogram({
      name: 'heddle_accept_to_delivered_seconds',
      help: 'From the acceptance of what was delivered to its last receipt.',
      labelNames: ['destination'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400],
      registers,
    });
    this.attempts = new Counter({
      name: 'heddle_delivery_attempts_total',
      help: 'Offers that ended.',
      labelNames: ['destination', 'outcome', 'code'],
      registers,
    });
    this.attemptDuration = new Histogram({
      name: 'heddle_delivery_attempt_duration_seconds',
      help: 'Duration of attempts, as the worker measured it.',
      labelNames: ['destination', 'outcome'],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600],
      registers,
    });
    this.finishedDeliveries = new Counter({
      name: 'heddle_deliveries_finished_total',
      help: 'Deliveries that succeeded or failed for good.',
      labelNames: ['destination', 'state'],
      registers,
    });
    this.notifications = new Counter({
      name: 'heddle_notifications_total',
      help: 'Mails to notification lists that were made.',
      labelNames: ['kind'],
      registers,
    });
    for (const { name, help, column } of OPEN_GAUGES) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        labelNames: ['state'],
        registers,
        collect: async () => {
          const found = await this.openDeliveries();
          for (const state of OPEN_STATES) gauge.set({ state }, found.get(state)?.[column] ?? 0);
        },
      });
    }
    const notices = new Gauge({
      name: 'heddle_notice_oldest_open_age_seconds',
      help: 'Age of the oldest notice that its list has not been told of.',
      registers,
      collect: async () => {
        const [row] = await this.read<{ age: number }>(
          `SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS age
           FROM dispatcher.notices WHERE settled_at IS NULL`,
        );
        if (row) notices.set(row.age);
      },
    });
    const breakers = new Gauge({
      name: 'heddle_breakers_open',
      help: 'Integrations whose destination fails, so that only probes go out.',
      registers,
      collect: async () => {
        const [row] = await this.read<{ count: number }>(
          'SELECT count(*)::int AS count FROM dispatcher.integration_flow WHERE probe_at IS NOT NULL',
        );
        if (row) breakers.set(row.count);
      },
    });
  }

  attempt(
    destination: string,
    end: { readonly outcome: string; readonly code: DeliveryCode | null; readonly durationMs: number | null },
  ): void {
    const { outcome, code, durationMs } = end;
    this.attempts.inc({ destination, outcome, code: code ?? '' });
    if (durationMs !== null) this.attemptDuration.observe({ destination, outcome }, durationMs / 1_000);
  }

  finished(
    { destination, acceptedAt }: { readonly destination: string; readonly acceptedAt: Date },
    succeeded: boolean,
    at: Date,
  ): void {
    this.finishedDeliveries.inc({ destination, state: succeeded ? 'succeeded' : 'failed' });
    if (!succeeded) return;
    this.acceptToDelivered.observe({ destination }, Math.max(0, at.getTime() - acceptedAt.getTime()) / 1_000);
  }

  notified(kind: NotificationKind): void {
    this.notifications.inc({ kind });
  }

  /** Read once for the gauges of one scrape. */
  private openDeliveries(): Promise<ReadonlyMap<string, OpenRow>> {
    this.open ??= this.read<OpenRow>(
      `SELECT state, count(*)::int AS count,
              extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age
       FROM dispatcher.deliveries WHERE state IN ('waiting', 'ready', 'in-flight', 'retrying') GROUP BY state`,
    ).then((rows) => {
      this.open = undefined;
      return new Map(rows.map((row) => [row.state, row]));
    });
    return this.open;
  }

  /** While PostgreSQL is away the last figures stay: a scrape must not fail for it. */
  private async read<T>(sql: string): Promise<readonly T[]> {
    return await query<T>(this.dataSource, sql).catch(() => []);
  }
}
