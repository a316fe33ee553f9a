import { Inject, Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';

import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

type Kind = 'association' | 'cancellation' | 'recipe';

@Injectable()
export class IntakeMetrics {
  /** By kind; looked up once, as labels are joined to a text at each look. */
  readonly accepted: Readonly<Record<Kind, Counter.Internal>>;
  readonly droppedFields: Counter;

  constructor(@Inject(METRICS) metrics: Metrics) {
    const accepted = new Counter({
      name: 'heddle_accepted_total',
      help: 'Associations, cancellations and recipes that were answered with 202.',
      labelNames: ['kind'],
      registers: [metrics],
    });
    this.accepted = {
      association: accepted.labels('association'),
      cancellation: accepted.labels('cancellation'),
      recipe: accepted.labels('recipe'),
    };
    this.droppedFields = new Counter({
      name: 'heddle_dropped_fields_total',
      help: 'Members of accepted requests that no contract names, at any depth: dropped before anything was written.',
      registers: [metrics],
    });
  }
}
