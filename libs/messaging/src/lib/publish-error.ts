/**
 * - `TIMEOUT`: the deadline passed without an acknowledgement. What was in flight may still appear in the topic.
 * - `QUEUE_FULL`: the bounded queue has no room. Nothing of the call was queued.
 * - `REFUSED`: Kafka will never take this event. Its neighbours are not affected.
 * - `CLOSED`: the publisher is shut down.
 */
export const PUBLISH_ERROR_CODES = ['TIMEOUT', 'QUEUE_FULL', 'REFUSED', 'CLOSED'] as const;
export type PublishErrorCode = (typeof PUBLISH_ERROR_CODES)[number];

const PERMANENT: Record<PublishErrorCode, boolean> = {
  TIMEOUT: false,
  QUEUE_FULL: false,
  REFUSED: true,
  CLOSED: false,
};

export class PublishError extends Error {
  override readonly name = 'PublishError';
  /** Another try of the same event cannot succeed. */
  readonly permanent: boolean;

  constructor(
    readonly code: PublishErrorCode,
    topic: string,
    options?: ErrorOptions,
  ) {
    super(`publishing to ${topic}: ${code}`, options);
    this.permanent = PERMANENT[code];
  }
}

export type PublishResult =
  | { readonly ok: true; readonly partition: number; readonly offset: string }
  | { readonly ok: false; readonly error: PublishError };
