import { Controller, HttpCode, Post, Req } from '@nestjs/common';

import {
  CANCELLATION_RECEIVED,
  CancellationInput,
  CancellationsRequest,
  TOPIC,
  orderKey,
} from '@heddle/contracts';
import type { OutgoingEvent } from '@heddle/messaging';

import type { GatewayRequest } from '../http/gateway-request.js';
import { validate } from '../http/validate.js';
import { countDroppedFields } from '../intake/dropped-fields.js';
import { IntakeMetrics } from '../intake/intake-metrics.js';
import { Intake } from '../intake/intake.js';
import { acceptanceOf, receivedEvent } from '../intake/received-event.js';
import type { Acceptance } from '../intake/received-event.js';

const FIELDS = new Set(Object.keys(CancellationInput.shape));

/** On the topic of the associations, so that a cancel keeps its place among them. */
export function cancellationEvents(
  cancellations: readonly CancellationInput[],
  acceptance: Acceptance,
): readonly OutgoingEvent[] {
  return cancellations.map(({ orderNumber, orderId, reason }) =>
    receivedEvent(
      {
        topic: TOPIC.orderReceived,
        key: orderKey(acceptance.tenant, orderNumber),
        type: CANCELLATION_RECEIVED,
        subject: orderNumber,
      },
      acceptance,
      { orderNumber, orderId, reason },
    ),
  );
}

@Controller('api/v2/order')
export class CancellationController {
  constructor(
    private readonly intake: Intake,
    private readonly metrics: IntakeMetrics,
  ) {}

  @Post('cancel')
  @HttpCode(202)
  async cancel(@Req() request: GatewayRequest): Promise<{ accepted: number }> {
    const cancellations = validate(CancellationsRequest, request.body);
    await this.intake.append(cancellationEvents(cancellations, acceptanceOf(request)));
    const accepted = cancellations.length;
    this.metrics.accepted.cancellation.inc(accepted);
    this.metrics.droppedFields.inc(countDroppedFields(request.body?.value, FIELDS));
    return { accepted };
  }
}
