import type { OutgoingEvent } from './events.js';
import type { PartitionWriter, PendingEvent } from './partition-writer.js';
import type { WireMessage } from './produce-request.js';
import { PublishError } from './publish-error.js';
import type { PublishResult } from './publish-error.js';

/** In place of a settled event's message, so that a queue that still lists the event does not hold its bytes. */
const SETTLED: WireMessage = { key: '', headers: {}, value: '' };

/** One `publish()`: its events settle one by one, or all at its deadline. */
export class PublishCall {
  private readonly results: (PublishResult | undefined)[];
  private readonly events: QueuedEvent[] = [];
  private missing: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    size: number,
    private readonly resolve: (results: readonly PublishResult[]) => void,
    /** Gives the bytes of a settled event back. */
    readonly release: (bytes: number) => void,
  ) {
    this.results = new Array<PublishResult | undefined>(size);
    this.missing = size;
    if (size === 0) resolve([]);
  }

  get isOpen(): boolean {
    return this.missing > 0;
  }

  add(index: number, message: OutgoingMessage, bytes: number): QueuedEvent {
    const event = new QueuedEvent(this, index, message.topic, message.key, message, bytes);
    this.events.push(event);
    return event;
  }

  expireAfter(
    deadlineMs: number,
    onExpired: (expired: readonly QueuedEvent[], startedAt: number) => void,
  ): void {
    if (!this.isOpen) return;
    const startedAt = performance.now();
    this.timer = setTimeout(() => {
      const expired = this.events.filter((event) => this.results[event.index] === undefined);
      for (const event of expired) {
        this.settle(event, { ok: false, error: new PublishError('TIMEOUT', event.topic) });
      }
      onExpired(expired, startedAt);
    }, deadlineMs);
  }

  isSettled(index: number): boolean {
    return this.results[index] !== undefined;
  }

  settle(event: QueuedEvent, result: PublishResult): void {
    // An acknowledgement after the deadline changes nothing: its caller has an answer.
    if (this.results[event.index] !== undefined) return;
    this.results[event.index] = result;
    event.message = SETTLED;
    this.release(event.bytes);
    this.missing -= 1;
    if (this.missing > 0) return;
    clearTimeout(this.timer);
    this.resolve(this.results as PublishResult[]);
  }
}

export class QueuedEvent implements PendingEvent {
  writer: PartitionWriter | undefined;

  constructor(
    private readonly call: PublishCall,
    readonly index: number,
    readonly topic: string,
    readonly key: string,
    public message: WireMessage,
    readonly bytes: number,
  ) {}

  get isWanted(): boolean {
    return !this.call.isSettled(this.index);
  }

  acknowledge(partition: number, offset: string): void {
    this.call.settle(this, { ok: true, partition, offset });
  }

  refuse(cause: unknown): void {
    this.call.settle(this, { ok: false, error: new PublishError('REFUSED', this.topic, { cause }) });
  }
}

/** A message as it will stand in its topic. */
export interface OutgoingMessage extends WireMessage {
  /** Without the installation's prefix. */
  readonly topic: string;
}

/** Headers, lengths and the record's own fields, roughly. */
const OVERHEAD_BYTES = 300;

export function sizeOf(message: OutgoingMessage): number {
  return Buffer.byteLength(message.value) + message.key.length + OVERHEAD_BYTES;
}

export function messageOf(event: OutgoingEvent): OutgoingMessage {
  const headers: Record<string, string> = {
    ...event.headers,
    ce_specversion: '1.0',
    ce_id: event.id,
    ce_type: event.type,
    ce_source: event.source,
    ce_time: event.time,
    'content-type': 'application/json',
    tenant: event.tenant,
  };
  if (event.subject !== undefined) headers['ce_subject'] = event.subject;
  if (event.traceparent !== undefined) headers['traceparent'] = event.traceparent;
  return { topic: event.topic, key: event.key, headers, value: event.data };
}
