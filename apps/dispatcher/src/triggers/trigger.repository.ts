import { Inject, Injectable } from '@nestjs/common';

import type { OrderChangedV1, RecipeSavedV1, Trigger, TriggerRequest } from '@heddle/contracts';
import { planForParameters } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';
import { newId, newTraceparent } from '@heddle/platform';

import { attemptedEnds, change, insert, laneHeadOf, newRow, openLanes } from '../events/event.repository.js';
import type { HeadRow, LaneRow } from '../events/event.repository.js';
import { subjectKey } from '../events/fact.js';
import type { Subject } from '../events/fact.js';
import { decideRepeat } from '../lanes/lane.js';
import type { LaneDecision, Standing } from '../lanes/lane.js';
import { CleanUp } from '../offers/clean-up.js';
import { cancelledFileSet, orderFileSet, recipeFileSet } from '../offers/file-set.js';
import type { FileSet } from '../offers/file-set.js';
import { POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { isActive, triggerOf } from './choice.js';
import type { Active, Candidate, Subjected } from './choice.js';

export type TriggeredHead = HeadRow & Subjected & { readonly orderNumber: string | null };

/** One delivery that a trigger makes. */
export interface Planned {
  readonly head: TriggeredHead;
  readonly integration: Active;
  readonly trigger: Trigger;
  readonly repeats: string | null;
  readonly decision: LaneDecision & { readonly created: Standing };
}

export interface Plan {
  readonly planned: readonly Planned[];
  readonly lanes: ReadonlyMap<string, readonly LaneRow[]>;
}

const DOCUMENTS_AT_ONCE = 50;

/** Makes deliveries that no event asks for: of orders and recipes at their newest version, at once. */
@Injectable()
export class TriggerRepository {
  constructor(
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
  ) {}

  /** The integrations of a tenant with their approved versions. */
  async candidates(tx: Tx, tenant: string): Promise<readonly Candidate[]> {
    return await tx.query<Candidate>(
      `SELECT i.integration_id AS "integrationId", i.destination, i.status,
              CASE WHEN v.version IS NOT NULL THEN json_build_object(
                'version', v.version, 'triggers', v.triggers, 'channels', v.channels, 'include', v.include,
                'temporaryRecipes', v.temporary_recipes) END AS approved
       FROM dispatcher.integrations i
       LEFT JOIN dispatcher.integration_versions v
         ON v.integration_id = i.integration_id AND v.version = i.approved_version
       WHERE i.tenant = $1 AND i.deleted_at IS NULL AND NOT i.is_internal ORDER BY i.integration_id`,
      [tenant],
    );
  }

  /** What the request names, at most `limit` of it. A recipe stands for the orders that use it, or else for itself. */
  async find(tx: Tx, tenant: string, request: TriggerRequest, limit: number): Promise<readonly Subject[]> {
    planForParameters(tx);
    const { orderNumber, orderId, orderUid, recipeId } = request;
    const where = async (sql: string, value: string): Promise<readonly Subject[]> =>
      await tx.query<Subject>(
        `SELECT tenant, kind, subject FROM dispatcher.heads WHERE tenant = $1 AND ${sql}
         ORDER BY subject LIMIT ${String(limit)}`,
        [tenant, value],
      );
    if (orderUid !== undefined) return await where(`kind = 'order' AND subject = $2`, orderUid.toLowerCase());
    if (orderNumber !== undefined) return await where(`order_number = $2`, orderNumber);
    if (orderId !== undefined) return await where(`order_id = $2`, orderId);
    if (recipeId === undefined) return [];
    const orders =
      request.as === 'recipe' ? [] : await where(`kind = 'order' AND recipe_ids @> ARRAY[$2]`, recipeId);
    if (orders.length > 0 || request.as === 'orders') return orders;
    return await where(`kind = 'recipe' AND subject = $2`, recipeId);
  }

  /** Locks the heads, then the open deliveries, as events do: whatever is decided on these orders takes turns. */
  async plan(
    tx: Tx,
    subjects: readonly Subject[],
    candidates: readonly Candidate[],
    isWanted: (integration: Active, head: TriggeredHead) => boolean,
  ): Promise<Plan> {
    if (subjects.length === 0) return { planned: [], lanes: new Map() };
    const [heads, lanes, last] = await Promise.all([
      lockHeads(tx, subjects),
      openLanes(tx, subjects),
      lastDeliveries(tx, subjects),
    ]);
    const active = candidates.filter(isActive);
    const planned = heads.flatMap((head) => {
      const key = subjectKey(head);
      const laneOf = Map.groupBy(lanes.get(key) ?? [], ({ integrationId }) => integrationId);
      return active
        .filter((integration) => isWanted(integration, head))
        .map((integration): Planned => {
          const trigger = triggerOf(head);
          return {
            head,
            integration,
            trigger,
            repeats: last.get(`${integration.integrationId}:${key}`) ?? null,
            decision: decideRepeat({
              head: laneHeadOf(head, this.policy),
              deliveries: laneOf.get(integration.integrationId) ?? [],
              trigger,
            }),
          };
        });
    });
    return { planned, lanes };
  }

  /** @returns the ids of the new deliveries, in the order of the plan. */
  async make(
    tx: Tx,
    { planned, lanes }: Plan,
    { triggerId, onlyMissing }: { readonly triggerId: string; readonly onlyMissing: boolean },
  ): Promise<readonly string[]> {
    const headOf = new Map(planned.map(({ head }) => [subjectKey(head), head]));
    const changes = planned.flatMap(({ decision }) => decision.changes);
    const acceptedAt = new Date().toISOString();
    const eventOf = new Map(
      [...headOf.keys()].map((key) => [key, { eventId: newId(), traceparent: newTraceparent() }]),
    );
    const rows = planned.map(({ head, integration, trigger, repeats, decision }) => {
      const event = eventOf.get(subjectKey(head));
      if (event === undefined) throw new TypeError('a head of the plan is missing');
      const { channel, orderNumber } = head;
      return {
        ...newRow(
          head,
          {
            integration: { ...integration, version: integration.approved.version },
            fact: { ...event, trigger, channel, orderNumber, acceptedAt },
          },
          decision.created,
        ),
        trigger_id: triggerId,
        only_missing: onlyMissing,
        repeats,
      };
    });
    change(tx, changes, headOf, lanes);
    await this.cleanUp.enqueue(tx, attemptedEnds(changes, lanes));
    insert(tx, rows);
    return rows.map((row) => row.delivery_id);
  }

  /** The files that each planned delivery would hold, a few documents at a time. */
  async fileSets(tx: Tx, { planned }: Plan): Promise<readonly FileSet[]> {
    const sets: FileSet[] = [];
    for (let at = 0; at < planned.length; at += DOCUMENTS_AT_ONCE) {
      const some = planned.slice(at, at + DOCUMENTS_AT_ONCE);
      const rows = await tx.query<Subject & { document: string }>(
        `SELECT h.tenant, h.kind, h.subject, h.document
         FROM json_to_recordset($1) AS s (tenant text, kind text, subject text)
         JOIN dispatcher.heads h USING (tenant, kind, subject)`,
        [subjectsOf(some.map(({ head }) => head))],
      );
      const documents = new Map(rows.map((row) => [subjectKey(row), row.document]));
      for (const { head, integration, trigger } of some) {
        const content: unknown = JSON.parse(documents.get(subjectKey(head)) ?? 'null');
        const { include } = integration.approved;
        if (head.kind === 'recipe') sets.push(recipeFileSet(content as RecipeSavedV1, include));
        else if (trigger === 'order.cancelled') sets.push(cancelledFileSet(content as OrderChangedV1));
        else sets.push(orderFileSet(content as OrderChangedV1, include));
      }
    }
    return sets;
  }
}

function subjectsOf(subjects: readonly Subject[]): string {
  const distinct = new Map(
    subjects.map(({ tenant, kind, subject }) => [
      subjectKey({ tenant, kind, subject }),
      { tenant, kind, subject },
    ]),
  );
  return JSON.stringify([...distinct.values()]);
}

async function lockHeads(tx: Tx, subjects: readonly Subject[]): Promise<readonly TriggeredHead[]> {
  const heads = await tx.query<TriggeredHead>(
    `SELECT h.tenant, h.kind, h.subject, h.version, h.status, h.order_number AS "orderNumber", h.order_id AS "orderId",
            h.recipe_ids AS "recipeIds", h.waiting_since AS "waitingSince", clock_timestamp() AS now,
            h.document::json ->> 'channel' AS channel,
            coalesce((h.document::json ->> 'temporary')::boolean, false) AS "isTemporary"
     FROM json_to_recordset($1) AS s (tenant text, kind text, subject text)
     JOIN dispatcher.heads h USING (tenant, kind, subject)
     ORDER BY h.tenant, h.kind, h.subject FOR UPDATE OF h`,
    [subjectsOf(subjects)],
  );
  // In use again: a purge that has just found no delivery of it looks once more where the row has changed.
  tx.post(
    `UPDATE dispatcher.heads h SET updated_at = now()
     FROM json_to_recordset($1) AS s (tenant text, kind text, subject text)
     WHERE h.tenant = s.tenant AND h.kind = s.kind AND h.subject = s.subject`,
    [subjectsOf(subjects)],
  );
  return heads;
}

/** What each lane had last: the delivery that a new one repeats. */
async function lastDeliveries(tx: Tx, subjects: readonly Subject[]): Promise<ReadonlyMap<string, string>> {
  const rows = await tx.query<Subject & { integrationId: string; deliveryId: string }>(
    `SELECT DISTINCT ON (d.integration_id, d.tenant, d.kind, d.subject)
            d.integration_id AS "integrationId", d.tenant, d.kind, d.subject, d.delivery_id AS "deliveryId"
     FROM json_to_recordset($1) AS s (tenant text, kind text, subject text)
     JOIN dispatcher.deliveries d USING (tenant, kind, subject)
     ORDER BY d.integration_id, d.tenant, d.kind, d.subject, d.delivery_id DESC`,
    [subjectsOf(subjects)],
  );
  return new Map(rows.map((row) => [`${row.integrationId}:${subjectKey(row)}`, row.deliveryId]));
}
