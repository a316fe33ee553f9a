import { channelOf } from '@heddle/access';
import type { OutgoingEvent } from '@heddle/messaging';
import { childOf, newId } from '@heddle/platform';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';

export const SOURCE = 'ingest-gateway';

/** What all events of one request share. */
export interface Acceptance {
  readonly tenant: string;
  readonly channel: string;
  readonly acceptedAt: string;
  readonly requestId: string;
  readonly traceparent: string;
}

export function acceptanceOf(request: GatewayRequest): Acceptance {
  const caller = callerOf(request);
  const { traceparent } = request.headers;
  return {
    tenant: caller.tenant,
    channel: channelOf(caller),
    acceptedAt: new Date().toISOString(),
    requestId: request.id,
    traceparent: childOf(typeof traceparent === 'string' ? traceparent : undefined),
  };
}

/** @param data of the event, what all events share apart. */
export function receivedEvent(
  { topic, key, type, subject }: Pick<OutgoingEvent, 'topic' | 'key' | 'type' | 'subject'>,
  { tenant, channel, acceptedAt, requestId, traceparent }: Acceptance,
  data: object,
): OutgoingEvent {
  return {
    topic,
    key,
    type,
    subject,
    id: newId(),
    source: SOURCE,
    time: acceptedAt,
    tenant,
    traceparent,
    data: JSON.stringify({ tenant, channel, ...data, acceptedAt, requestId }),
  };
}
