import { Controller, Get, Inject, Req } from '@nestjs/common';
import type { z } from 'zod';

import type { Caller } from '@heddle/access';
import { DispatcherStatus, StoreStatus } from '@heddle/contracts';
import type { HubStatus } from '@heddle/contracts';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { UPSTREAMS } from '../upstream/upstream.js';
import type { Upstream, Upstreams } from '../upstream/upstream.js';

/** Whoever looks how the hub does has to see it while a part of it is away. */
const ANSWER_WITHIN_MS = 3_000;

/** One status out of those of the services. */
@Controller('api/v2/status')
export class StatusController {
  constructor(@Inject(UPSTREAMS) private readonly upstreams: Upstreams) {}

  @Get()
  async read(@Req() request: GatewayRequest): Promise<HubStatus> {
    const caller = callerOf(request);
    const [dispatcher, store] = await Promise.all([
      statusOf(this.upstreams.dispatcher, DispatcherStatus, caller, request.id),
      statusOf(this.upstreams['association-store'], StoreStatus, caller, request.id),
    ]);
    return {
      deliveries: dispatcher?.deliveries ?? null,
      lastDay: dispatcher?.lastDay ?? null,
      breakers: dispatcher?.breakers ?? null,
      waitingForRecipe: store?.waitingForRecipe ?? null,
      lag: { 'association-store': store?.lag ?? null, dispatcher: dispatcher?.lag ?? null },
    };
  }
}

async function statusOf<T extends z.ZodType>(
  upstream: Upstream,
  schema: T,
  caller: Caller,
  requestId: string,
): Promise<z.output<T> | undefined> {
  try {
    const answer = await upstream.call({
      method: 'GET',
      path: '/internal/status',
      caller,
      requestId,
      silenceMs: ANSWER_WITHIN_MS,
    });
    const parsed = schema.safeParse(await upstream.json(answer));
    return answer.statusCode === 200 && parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
