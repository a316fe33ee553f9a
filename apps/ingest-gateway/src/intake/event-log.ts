import type { OutgoingEvent, PublishResult } from '@heddle/messaging';

/** Where accepted requests go before they are answered. */
export interface EventLog {
  /** Ready to take events. */
  readonly isConnected: boolean;
  connect(): Promise<void>;
  /**
   * One result per event, in their order; `ok` once every in-sync replica has it. What is still queued at the deadline
   * is withdrawn.
   */
  publish(
    events: readonly OutgoingEvent[],
    options: { readonly deadlineMs: number },
  ): Promise<readonly PublishResult[]>;
  close(): Promise<void>;
}
export const EVENT_LOG = Symbol('EventLog');
