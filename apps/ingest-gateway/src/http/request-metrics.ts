import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Histogram } from 'prom-client';

import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

interface Observer {
  observe(seconds: number): void;
}

/** Durations by operation and status; what no operation names counts together. */
@Injectable()
export class RequestMetrics {
  private readonly durations: Histogram<'operation' | 'status'>;
  /** A label set is looked up by its text each time: kept, it costs nothing. */
  private readonly observers = new Map<string, Map<number, Observer>>();

  constructor(@Inject(METRICS) metrics: Metrics) {
    this.durations = new Histogram({
      name: 'heddle_http_request_duration_seconds',
      help: 'From the head of a request to the end of its answer.',
      labelNames: ['operation', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [metrics],
    });
  }

  answered(request: FastifyRequest, reply: FastifyReply): void {
    const operation = request.routeOptions.config.operation?.id ?? 'other';
    let byStatus = this.observers.get(operation);
    if (byStatus === undefined) this.observers.set(operation, (byStatus = new Map<number, Observer>()));
    const status = reply.statusCode;
    let observer = byStatus.get(status);
    if (observer === undefined) {
      byStatus.set(status, (observer = this.durations.labels({ operation, status: String(status) })));
    }
    observer.observe(reply.elapsedTime / 1_000);
  }
}
