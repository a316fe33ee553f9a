import { setMaxListeners } from 'node:events';

import type { DeliveryNotes, DeliveryRequestedV1, Receipt } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { ReceivedEvent } from '@heddle/messaging';
import { childOf } from '@heddle/platform';

/** Why a running attempt was stopped from outside. */
export type AbortCause = 'deadline' | 'lease' | 'shutdown' | 'superseded';

/** One offer in the hands of this process. */
export class Attempt {
  readonly receipts: Receipt[] = [];
  /** Receipts that no acknowledged report carries yet. */
  readonly unreported: Receipt[] = [];
  /** For the report of its end. */
  notes: DeliveryNotes = {};
  readonly traceparent: string;
  startedAt: Date | undefined;
  abortedBy: AbortCause | undefined;
  /** It still waited for the hub's own store when it was stopped. */
  isHubAway = false;
  private readonly controller = new AbortController();
  /** `performance.now()` before the last report that Kafka acknowledged was sent. */
  private reportedAt: number;

  constructor(
    readonly event: ReceivedEvent<DeliveryRequestedV1>,
    private readonly leaseMs: number,
  ) {
    this.traceparent = childOf(event.traceparent);
    this.reportedAt = performance.now();
    // One attempt listens for its own end in many places.
    setMaxListeners(0, this.controller.signal);
  }

  get offer(): DeliveryRequestedV1 {
    return this.event.data;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  reported(sentAt: number): void {
    this.reportedAt = Math.max(this.reportedAt, sentAt);
  }

  abort(cause: AbortCause): void {
    if (this.controller.signal.aborted) return;
    this.abortedBy = cause;
    this.controller.abort(new DestinationError('TIMEOUT', 'making the attempt: it was stopped'));
  }

  /** Since the last report that Kafka acknowledged. */
  get silentMs(): number {
    return performance.now() - this.reportedAt;
  }

  /** True while nobody else may have been offered the delivery. */
  isLeased(): boolean {
    return this.silentMs < this.leaseMs;
  }

  assertLeased(): void {
    if (!this.isLeased()) this.abort('lease');
    this.controller.signal.throwIfAborted();
  }
}
