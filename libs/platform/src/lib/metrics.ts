import { Registry, collectDefaultMetrics } from 'prom-client';

/** The registry of one process. Every metric of ours is made with `registers: [metrics]`. */
export type Metrics = Registry;

export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}
