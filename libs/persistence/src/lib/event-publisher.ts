/** An event as it goes to Kafka. */
export interface OutgoingEvent {
  readonly topic: string;
  readonly key: string;
  readonly id: string;
  readonly type: string;
  readonly source: string;
  /** ISO 8601 UTC. */
  readonly time: string;
  readonly subject?: string;
  readonly tenant: string;
  readonly traceparent?: string;
  /** JSON text. */
  readonly data: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PublishFailure {
  readonly code: string;
  /** True: no later try can succeed. */
  readonly permanent: boolean;
  readonly message?: string;
}

export type PublishOutcome = { readonly ok: true } | { readonly ok: false; readonly error: PublishFailure };

/** What the outbox relay needs of Kafka. The composition root passes the producer of `messaging` in. */
export interface EventPublisher {
  /**
   * Resolves with one outcome per event, in the order given, at the deadline at the latest; what has not been
   * sent by then is withdrawn. Events of one key are sent in the order given, and never one of them while an
   * earlier one may still be tried.
   */
  publish(
    events: readonly OutgoingEvent[],
    options: { readonly deadlineMs: number },
  ): Promise<readonly PublishOutcome[]>;
}
