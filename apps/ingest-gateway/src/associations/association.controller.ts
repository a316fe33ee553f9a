import { Controller, HttpCode, Post, Req } from '@nestjs/common';

import { AssociationInput, AssociationsRequest } from '@heddle/contracts';

import type { GatewayRequest } from '../http/gateway-request.js';
import { validate } from '../http/validate.js';
import { countDroppedFields } from '../intake/dropped-fields.js';
import { IntakeMetrics } from '../intake/intake-metrics.js';
import { Intake } from '../intake/intake.js';
import { acceptanceOf } from '../intake/received-event.js';

import { associationEvents } from './association-events.js';

const FIELDS = new Set(Object.keys(AssociationInput.shape));

@Controller('api/v2/recipe')
export class AssociationController {
  constructor(
    private readonly intake: Intake,
    private readonly metrics: IntakeMetrics,
  ) {}

  @Post('order')
  @HttpCode(202)
  async submit(@Req() request: GatewayRequest): Promise<{ accepted: number }> {
    const associations = validate(AssociationsRequest, request.body);
    await this.intake.append(associationEvents(associations, acceptanceOf(request)));
    const accepted = associations.length;
    this.metrics.accepted.association.inc(accepted);
    this.metrics.droppedFields.inc(countDroppedFields(request.body?.value, FIELDS));
    return { accepted };
  }
}
