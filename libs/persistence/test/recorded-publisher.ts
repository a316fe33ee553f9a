import { setTimeout as delay } from 'node:timers/promises';

import type { EventPublisher, OutgoingEvent, PublishOutcome } from '../src/index.js';

export type Verdict = 'ok' | 'transient' | 'permanent';

/** A log like Kafka's: what is in `log` was acknowledged, or was written and its acknowledgement got lost. */
export class RecordedPublisher implements EventPublisher {
  readonly log: OutgoingEvent[] = [];
  /** Sizes of the calls, in bytes of data. */
  readonly calls: number[] = [];
  verdict: (event: OutgoingEvent) => Verdict = () => 'ok';
  /** Until when a call waits before it does anything. */
  before: (events: readonly OutgoingEvent[]) => Promise<void> = () => Promise.resolve();

  async publish(events: readonly OutgoingEvent[]): Promise<readonly PublishOutcome[]> {
    this.calls.push(events.reduce((sum, { data }) => sum + data.length, 0));
    await this.before(events);
    const stuck = new Set<string>();
    return events.map((event) => {
      const verdict = stuck.has(event.key) ? 'transient' : this.verdict(event);
      if (verdict === 'ok') this.log.push(event);
      if (verdict === 'transient') stuck.add(event.key);
      return OUTCOME[verdict];
    });
  }

  idsOf(key: string): string[] {
    return this.log.filter((event) => event.key === key).map(({ id }) => id);
  }
}

const OUTCOME: Readonly<Record<Verdict, PublishOutcome>> = {
  ok: { ok: true },
  transient: { ok: false, error: { code: 'TIMEOUT', permanent: false } },
  permanent: { ok: false, error: { code: 'REFUSED', permanent: true, message: 'too large' } },
};

export async function upTo(ms: number): Promise<void> {
  await delay(Math.random() * ms);
}
