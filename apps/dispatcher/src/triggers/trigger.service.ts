import { Inject, Injectable } from '@nestjs/common';

import type { Caller } from '@heddle/access';
import { MAX_TRIGGERED } from '@heddle/contracts';
import type { Fault, TriggerAnswer, TriggerPreview, TriggerRequest } from '@heddle/contracts';
import { inTransaction } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { ProblemError, newId } from '@heddle/platform';

import { refusal } from '../integrations/judge.js';
import { OfferPump } from '../offers/offer.pump.js';
import { DATA_SOURCE } from '../tokens.js';

import { AskedOnce, recordTrigger } from './asked.js';
import type { Asked } from './asked.js';
import { isReached, standstillOf } from './choice.js';
import type { Candidate } from './choice.js';
import { TriggerRepository } from './trigger.repository.js';
import type { Plan, Planned } from './trigger.repository.js';

/** Sends orders and recipes again because somebody asks for it. */
@Injectable()
export class TriggerService {
  private readonly once: AskedOnce;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(TriggerRepository) private readonly triggers: TriggerRepository,
    @Inject(OfferPump) private readonly pump: OfferPump,
  ) {
    this.once = new AskedOnce(dataSource, 'trigger');
  }

  async trigger(caller: Caller, asked: Asked<TriggerRequest>): Promise<TriggerAnswer> {
    const answer = await this.once.run(caller, asked, async (tx): Promise<TriggerAnswer> => {
      const plan = await this.plan(tx, caller, asked.request);
      const triggerId = newId();
      const { onlyMissing } = asked.request;
      const deliveries = await this.triggers.make(tx, plan, { triggerId, onlyMissing });
      await recordTrigger(tx, caller, {
        action: 'delivery.triggered',
        triggerId,
        details: { deliveries: deliveries.length, onlyMissing },
      });
      return { triggerId, deliveries: [...deliveries] };
    });
    this.pump.nudge();
    return answer;
  }

  /** What `trigger` would do now. Changes nothing. */
  async preview(caller: Caller, request: TriggerRequest): Promise<TriggerPreview> {
    return await inTransaction(this.dataSource, async (tx) => {
      const plan = await this.plan(tx, caller, request);
      const sets = await this.triggers.fileSets(tx, plan);
      return {
        triggerId: null,
        deliveries: plan.planned.map((planned, index) => {
          const { files = [], missing = [] } = sets[index] ?? {};
          return {
            ...previewOf(planned),
            files: files.map(({ name, kind }) => ({ name, kind })),
            missing: [...missing],
          };
        }),
      };
    });
  }

  private async plan(tx: Tx, { tenant, channel }: Caller, request: TriggerRequest): Promise<Plan> {
    const candidates = named(await this.triggers.candidates(tx, tenant), request.integrationIds);
    const found = await this.triggers.find(tx, tenant, request, MAX_TRIGGERED + 1);
    if (found.length > MAX_TRIGGERED) throw tooMany();
    const seen = new Set<'open' | 'cancelled'>();
    const plan = await this.triggers.plan(tx, found, candidates, (integration, head) => {
      if (channel !== undefined && head.channel !== channel) return false;
      seen.add(head.status);
      return isReached(integration, head, request.integrationIds !== undefined);
    });
    if (plan.planned.length > MAX_TRIGGERED) throw tooMany();
    if (plan.planned.length > 0) return plan;
    const isKnown = seen.size > 0 || (found.length > 0 && channel === undefined);
    if (!isKnown) throw new ProblemError(404, 'there is no such order or recipe');
    throw new ProblemError(
      409,
      seen.has('cancelled')
        ? 'the order is cancelled, and no integration of its channel takes order.cancelled'
        : 'no enabled integration takes this',
    );
  }
}

/**
 * The integrations that a request names, or all of them.
 *
 * @throws {ProblemError} for those to which nothing can go: 400 where they are unknown, else 409.
 */
function named(
  candidates: readonly Candidate[],
  integrationIds: readonly string[] | undefined,
): readonly Candidate[] {
  if (integrationIds === undefined) return candidates;
  const byId = new Map(candidates.map((candidate) => [candidate.integrationId, candidate]));
  const faultsOf = (faultOf: (candidate: Candidate | undefined) => string | undefined): readonly Fault[] =>
    integrationIds.flatMap((id, index) => {
      const message = faultOf(byId.get(id.toLowerCase()));
      return message === undefined
        ? []
        : [{ pointer: `/integrationIds/${String(index)}`, code: 'conflict', message }];
    });
  const unknown = faultsOf((found) => (found === undefined ? 'there is no such integration' : undefined));
  if (unknown.length > 0) throw refusal(unknown);
  const still = faultsOf((found) => found && standstillOf(found));
  if (still.length > 0)
    throw new ProblemError(409, still[0]?.message ?? 'nothing can be sent', { errors: still });
  const wanted = new Set(integrationIds.map((id) => id.toLowerCase()));
  return candidates.filter(({ integrationId }) => wanted.has(integrationId));
}

function previewOf({
  head,
  integration,
  trigger,
  repeats,
  decision,
}: Planned): Omit<TriggerPreview['deliveries'][number], 'files' | 'missing'> {
  const { integrationId, destination } = integration;
  return {
    integrationId,
    destination,
    trigger,
    orderUid: head.kind === 'order' ? head.subject : null,
    orderNumber: head.orderNumber,
    orderId: head.orderId,
    recipeIds: [...head.recipeIds],
    version: head.version,
    repeats,
    supersedes: decision.changes.filter(({ kind }) => kind === 'end').map(({ deliveryId }) => deliveryId),
  };
}

function tooMany(): ProblemError {
  const detail = `this makes more than ${String(MAX_TRIGGERED)} deliveries; a bulk trigger makes any number`;
  return new ProblemError(422, detail);
}
