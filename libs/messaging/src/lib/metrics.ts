import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

/** Makes each metric once per registry: a process may hold several publishers and servers. */
export class Metrics {
  constructor(private readonly registry: Registry) {}

  counter<L extends string = never>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    const known = this.registry.getSingleMetric(name);
    return known instanceof Counter
      ? known
      : new Counter<L>({ name, help, labelNames, registers: [this.registry] });
  }

  gauge<L extends string = never>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    const known = this.registry.getSingleMetric(name);
    return known instanceof Gauge
      ? known
      : new Gauge<L>({ name, help, labelNames, registers: [this.registry] });
  }

  histogram<L extends string>(name: string, help: string, labelNames: L[], buckets: number[]): Histogram<L> {
    const known = this.registry.getSingleMetric(name);
    return known instanceof Histogram
      ? known
      : new Histogram<L>({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}
