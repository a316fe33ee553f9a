import { RETRYABLE } from '@heddle/contracts';
import type { DeliveryCode } from '@heddle/contracts';

/** What a destination may answer; `NO_REPORT` is the dispatcher's alone. */
export type DestinationErrorCode = Exclude<DeliveryCode, 'NO_REPORT'>;

/**
 * The only error a destination throws.
 *
 * `code` decides whether the dispatcher schedules another attempt and which sentence the
 * tenant reads. `message` says what was being done and where, in our words: it is stored,
 * so it holds no credential, no payload and no vendor text. The vendor's error is the
 * `cause`: logged at debug through the redaction list, never stored.
 */
export class DestinationError extends Error {
  override readonly name = 'DestinationError';
  readonly retryable: boolean;
  /** Delay the target asked for, in milliseconds. Undefined: the retry policy decides. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: DestinationErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryable = RETRYABLE[code];
    this.retryAfterMs = options.retryAfterMs;
  }
}
