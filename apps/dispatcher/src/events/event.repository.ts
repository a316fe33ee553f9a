import { Inject, Injectable } from '@nestjs/common';

import type { DeliveryReason, Trigger } from '@heddle/contracts';
import type { PartitionChunk } from '@heddle/messaging';
import { inTransaction, movePositions } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { newId } from '@heddle/platform';

import type { DeliveryFacts } from '../deliveries/finished.js';
import { END_STATE, decideLane } from '../lanes/lane.js';
import type { EndReason, LaneDecision, LaneDelivery, LaneHead, OpenState, Standing } from '../lanes/lane.js';
import { CleanUp } from '../offers/clean-up.js';
import { OfferRepository, headContent } from '../offers/offer.repository.js';
import type { HeadContent } from '../offers/offer.repository.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE, POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { laneKey, subjectKey } from './fact.js';
import type { Fact, Subject } from './fact.js';
import { newestStarting } from './integration-matching.js';
import type { ActiveIntegration, StartingFact } from './integration-matching.js';

export interface HeadRow extends Subject {
  readonly version: number;
  readonly status: 'open' | 'cancelled';
  readonly orderId: string | null;
  readonly recipeIds: readonly string[];
  readonly waitingSince: Date | null;
  readonly now: Date;
}

export interface LaneRow extends Subject {
  readonly deliveryId: string;
  readonly integrationId: string;
  readonly trigger: Trigger;
  readonly isManual: boolean;
  readonly version: number;
  readonly state: OpenState;
  readonly reason: DeliveryReason | null;
  readonly frozen: boolean;
  readonly stopReason: EndReason | null;
  readonly waitUntil: Date | null;
}

interface NewRow {
  readonly delivery_id: string;
  readonly tenant: string;
  readonly integration_id: string;
  readonly integration_version: number;
  readonly destination: string;
  readonly trigger: Trigger;
  readonly event_id: string;
  readonly kind: Subject['kind'];
  readonly subject: string;
  readonly lane_key: string;
  readonly channel: string;
  readonly order_number: string | null;
  readonly order_id: string | null;
  readonly recipe_ids: readonly string[];
  readonly version: number;
  readonly state: OpenState;
  readonly reason: DeliveryReason | null;
  readonly wait_until: Date | null;
  readonly accepted_at: string;
  readonly traceparent: string | null;
}

/** With its place in its topic. */
export type PlacedFact = Fact & { readonly partition: number; readonly offset: string };

/** What a batch leaves to do: offers to relay, or something that is, or may be, ready to be offered. */
export type Outcome = 'nothing' | 'offered' | 'ready';

/** Turns events about orders and recipes into deliveries. */
@Injectable()
export class EventRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
    @Inject(OfferRepository) private readonly offers: Pick<OfferRepository, 'offerFirst'>,
  ) {}

  /**
   * Applies a batch in one transaction, with the same number of statements for one event and
   * for five hundred. Safe to repeat.
   *
   * Locks are taken in this order everywhere: positions, heads, deliveries (each by rising key). A head is
   * locked before its lanes are looked at, so two chunks that speak of one order take turns; an open delivery
   * is locked before it is judged, so whoever offers or finishes it at this moment is waited for.
   *
   * The first delivery of a lane is offered at once where its integration has room: most orders are sent once, and
   * are in flight with the commit that has made their delivery.
   */
  async apply(chunks: readonly PartitionChunk[], facts: readonly PlacedFact[]): Promise<Outcome> {
    return await inTransaction(this.dataSource, async (tx) => {
      const [isFresh, unseen] = await Promise.all([movePositions(tx, SCHEMA, chunks), newFacts(tx, facts)]);
      const fresh = unseen.filter(isFresh);
      if (fresh.length === 0) return 'nothing';

      const bySubject = Map.groupBy(fresh, subjectKey);
      const [heads, active] = await Promise.all([
        raiseHeads(tx, bySubject),
        activeIntegrations(tx, [...new Set(fresh.map(({ tenant }) => tenant))]),
      ]);
      // A head comes before the deliveries of its subject, and goes after them: of a new one there are none.
      const known = heads.filter(({ isNew }) => !isNew);
      const [lanes, highest] = await Promise.all([openLanes(tx, known), highestVersions(tx, known)]);

      const changes: LaneDecision['changes'][number][] = [];
      const created: NewRow[] = [];
      const first: NewRow[] = [];
      const headOf = new Map(heads.map((head) => [subjectKey(head), head]));
      for (const [key, factsOfSubject] of bySubject) {
        const head = headOf.get(key);
        if (!head) throw new TypeError('a head that was just written is missing');
        const laneHead = laneHeadOf(head, this.policy);
        const laneOf = Map.groupBy(lanes.get(key) ?? [], ({ integrationId }) => integrationId);
        const integrations = active.get(head.tenant) ?? [];
        const starting = new Map(
          integrations.flatMap((integration) => {
            const fact = newestStarting(integration, factsOfSubject);
            return fact === undefined ? [] : [[integration.integrationId, { integration, fact }] as const];
          }),
        );
        for (const integrationId of new Set([...laneOf.keys(), ...starting.keys()])) {
          const highestVersion = highest.get(`${integrationId}:${key}`) ?? 0;
          const found = starting.get(integrationId);
          // Temporary recipes may have counted when it was saved first, and it may have been permanent before.
          const start = found?.fact.becamePermanent === true && highestVersion > 0 ? undefined : found;
          const decision = decideLane({
            head: laneHead,
            deliveries: (laneOf.get(integrationId) ?? []) satisfies LaneDelivery[],
            highestVersion,
            event: start?.fact,
          });
          changes.push(...decision.changes);
          if (!start || !decision.created) continue;
          const row = newRow(head, start, decision.created);
          created.push(row);
          if (row.state === 'ready' && highestVersion === 0) first.push(row);
        }
      }
      // Two statements, as a lane has one head at any time: ends make room for what gets ready.
      change(
        tx,
        changes.filter(({ kind }) => kind !== 'refresh'),
        headOf,
        lanes,
      );
      const cleaning = this.cleanUp.enqueue(tx, attemptedEnds(changes, lanes));
      change(
        tx,
        changes.filter(({ kind }) => kind === 'refresh'),
        headOf,
        lanes,
      );
      await cleaning;
      const contents = contentsOf(heads, bySubject);
      const offered = await this.offers.offerFirst(
        tx,
        first.filter((row) => contents.has(subjectKey(row))).map(factsOf),
        contents,
      );
      insert(
        tx,
        created.map((row) => ({ ...row, ...offered.rows.get(row.delivery_id) })),
      );
      await offered.save();
      const isLeft = created.some((row) => row.state === 'ready' && !offered.rows.has(row.delivery_id));
      if (isLeft || changes.length > 0) return 'ready';
      return offered.rows.size > 0 ? 'offered' : 'nothing';
    });
  }
}

/** The newest content of the subjects, where the batch has brought it. */
function contentsOf(
  heads: readonly HeadRow[],
  bySubject: ReadonlyMap<string, readonly Fact[]>,
): ReadonlyMap<string, HeadContent> {
  return new Map(
    heads.flatMap((head) => {
      const key = subjectKey(head);
      const newest = bySubject.get(key)?.find(({ version }) => version === head.version);
      return newest === undefined ? [] : [[key, headContent(newest.kind, newest.document)] as const];
    }),
  );
}

function factsOf(row: NewRow): DeliveryFacts {
  return {
    deliveryId: row.delivery_id,
    tenant: row.tenant,
    channel: row.channel,
    integrationId: row.integration_id,
    integrationVersion: row.integration_version,
    destination: row.destination,
    trigger: row.trigger,
    eventId: row.event_id,
    kind: row.kind,
    subject: row.subject,
    laneKey: row.lane_key,
    orderNumber: row.order_number,
    orderId: row.order_id,
    recipeIds: row.recipe_ids,
    version: row.version,
    acceptedAt: new Date(row.accepted_at),
    traceparent: row.traceparent,
  };
}

export function laneHeadOf(
  { version, status, waitingSince, now }: HeadRow,
  { recipeWaitMs }: Pick<Policy, 'recipeWaitMs'>,
): LaneHead {
  const until = waitingSince === null ? null : new Date(waitingSince.getTime() + recipeWaitMs);
  return { version, status, waitUntil: until !== null && until > now ? until : null };
}

/** Events of every topic meet here once, by their own ids: a relay may repeat what it had published. */
async function newFacts(tx: Tx, facts: readonly PlacedFact[]): Promise<readonly PlacedFact[]> {
  if (facts.length === 0) return [];
  const rows = await tx.query<{ event_id: string }>(
    `INSERT INTO dispatcher.handled_events (event_id)
     SELECT DISTINCT id FROM unnest($1::uuid[]) AS i (id) ORDER BY id
     ON CONFLICT DO NOTHING RETURNING event_id`,
    [facts.map(({ eventId }) => eventId)],
  );
  const unseen = new Set(rows.map((row) => row.event_id));
  return facts.filter(({ eventId }) => unseen.delete(eventId.toLowerCase()));
}

/** Locks every head of the chunk, and raises those that are older than what the chunk brings. */
async function raiseHeads(
  tx: Tx,
  bySubject: ReadonlyMap<string, readonly Fact[]>,
): Promise<(HeadRow & { readonly isNew: boolean })[]> {
  const newest = [...bySubject.values()].map((facts) =>
    facts.reduce((best, fact) => (fact.version > best.version ? fact : best)),
  );
  const rows = newest.map((fact) => ({
    tenant: fact.tenant,
    kind: fact.kind,
    subject: fact.subject,
    version: fact.version,
    status: fact.status,
    order_number: fact.orderNumber,
    order_id: fact.orderId,
    recipe_ids: fact.recipeIds,
    is_waiting: fact.isWaiting,
    document: JSON.stringify(fact.document),
  }));
  return await tx.query<HeadRow & { readonly isNew: boolean }>(
    `INSERT INTO dispatcher.heads AS h
       (tenant, kind, subject, version, status, order_number, order_id, recipe_ids, waiting_since, document)
     SELECT tenant, kind, subject, version, status, order_number, order_id, recipe_ids,
            CASE WHEN is_waiting THEN now() END, document
     FROM json_to_recordset($1) AS i (
       tenant text, kind text, subject text, version integer, status text, order_number text, order_id text,
       recipe_ids text[], is_waiting boolean, document text)
     ORDER BY tenant, kind, subject
     ON CONFLICT (tenant, kind, subject) DO UPDATE SET
       version = greatest(h.version, excluded.version),
       status = CASE WHEN excluded.version > h.version THEN excluded.status ELSE h.status END,
       order_id = CASE WHEN excluded.version > h.version THEN excluded.order_id ELSE h.order_id END,
       recipe_ids = CASE WHEN excluded.version > h.version THEN excluded.recipe_ids ELSE h.recipe_ids END,
       waiting_since = CASE WHEN excluded.version <= h.version THEN h.waiting_since
                            WHEN excluded.waiting_since IS NULL THEN NULL
                            ELSE coalesce(h.waiting_since, excluded.waiting_since) END,
       document = CASE WHEN excluded.version > h.version THEN excluded.document ELSE h.document END,
       updated_at = CASE WHEN excluded.version > h.version THEN excluded.updated_at ELSE h.updated_at END
     RETURNING tenant, kind, subject, version, status, order_id AS "orderId", recipe_ids AS "recipeIds",
               waiting_since AS "waitingSince", clock_timestamp() AS now,
               -- No transaction has locked a row that was just inserted; one in conflict has been locked by this one.
               xmax = 0 AS "isNew"`,
    [JSON.stringify(rows)],
  );
}

async function activeIntegrations(
  tx: Tx,
  tenants: readonly string[],
): Promise<ReadonlyMap<string, readonly ActiveIntegration[]>> {
  const rows = await tx.query<ActiveIntegration>(
    `SELECT i.integration_id AS "integrationId", i.tenant, i.destination, v.version, i.active_from AS "activeFrom",
            v.triggers, v.channels, v.temporary_recipes AS "temporaryRecipes"
     FROM dispatcher.integrations i
     JOIN dispatcher.integration_versions v
       ON v.integration_id = i.integration_id AND v.version = i.approved_version
     WHERE i.tenant = ANY($1) AND i.status IN ('enabled', 'paused') AND i.deleted_at IS NULL
       AND NOT i.is_internal
     ORDER BY i.integration_id`,
    [tenants],
  );
  return Map.groupBy(rows, ({ tenant }) => tenant);
}

const SUBJECTS = `json_to_recordset($1) AS s (tenant text, kind text, subject text)`;

function subjectsOf(subjects: readonly Subject[]): string {
  const distinct = new Map(
    subjects.map(({ tenant, kind, subject }) => [
      subjectKey({ tenant, kind, subject }),
      { tenant, kind, subject },
    ]),
  );
  return JSON.stringify([...distinct.values()]);
}

/**
 * Locks what is open of these subjects. LATERAL finds it subject by subject: a join may as well start at all that is
 * open, which is a whole backlog.
 */
export async function openLanes(
  tx: Tx,
  subjects: readonly Subject[],
): Promise<ReadonlyMap<string, readonly LaneRow[]>> {
  if (subjects.length === 0) return new Map();
  const rows = await tx.query<LaneRow>(
    `SELECT d.delivery_id AS "deliveryId", d.integration_id AS "integrationId", d.tenant, d.kind, d.subject,
            d.trigger, d.trigger_id IS NOT NULL AS "isManual", d.version, d.state, d.reason, d.frozen_at IS NOT NULL AS frozen,
            d.stop_reason AS "stopReason", d.wait_until AS "waitUntil"
     FROM dispatcher.deliveries d
     WHERE d.delivery_id = ANY (ARRAY(
       SELECT f.delivery_id
       FROM ${SUBJECTS} CROSS JOIN LATERAL (
         SELECT e.delivery_id, e.state FROM dispatcher.deliveries e
         WHERE e.tenant = s.tenant AND e.kind = s.kind AND e.subject = s.subject OFFSET 0) f
       WHERE f.state IN ('waiting', 'ready', 'in-flight', 'retrying')))
       -- Once more under the lock; not for the index of what is open.
       AND coalesce(d.state, '') IN ('waiting', 'ready', 'in-flight', 'retrying')
     ORDER BY d.delivery_id FOR UPDATE`,
    [subjectsOf(subjects)],
  );
  return Map.groupBy(rows, subjectKey);
}

/** A statement of its own: after the locks it sees what the others have committed. */
async function highestVersions(tx: Tx, subjects: readonly Subject[]): Promise<ReadonlyMap<string, number>> {
  if (subjects.length === 0) return new Map();
  const rows = await tx.query<Subject & { integrationId: string; version: number }>(
    `SELECT d.integration_id AS "integrationId", d.tenant, d.kind, d.subject, max(d.version) AS version
     FROM ${SUBJECTS} JOIN dispatcher.deliveries d USING (tenant, kind, subject)
     GROUP BY 1, 2, 3, 4`,
    [subjectsOf(subjects)],
  );
  return new Map(rows.map((row) => [`${row.integrationId}:${subjectKey(row)}`, row.version]));
}

type Start = Pick<
  StartingFact,
  'trigger' | 'eventId' | 'channel' | 'orderNumber' | 'acceptedAt' | 'traceparent'
>;

export function newRow(
  head: HeadRow,
  {
    integration,
    fact,
  }: {
    readonly integration: Pick<ActiveIntegration, 'integrationId' | 'version' | 'destination'>;
    readonly fact: Start;
  },
  standing: Standing,
): NewRow {
  return {
    delivery_id: newId(),
    tenant: head.tenant,
    integration_id: integration.integrationId,
    integration_version: integration.version,
    destination: integration.destination,
    trigger: fact.trigger,
    event_id: fact.eventId,
    kind: head.kind,
    subject: head.subject,
    lane_key: laneKey(head.tenant, integration.integrationId, head.subject),
    channel: fact.channel,
    order_number: fact.orderNumber,
    order_id: head.orderId,
    recipe_ids: head.recipeIds,
    version: standing.version,
    state: standing.state,
    reason: standing.reason,
    wait_until: standing.waitUntil,
    accepted_at: fact.acceptedAt,
    traceparent: fact.traceparent ?? null,
  };
}

export function change(
  tx: Tx,
  changes: LaneDecision['changes'],
  heads: ReadonlyMap<string, HeadRow>,
  lanes: ReadonlyMap<string, readonly LaneRow[]>,
): void {
  if (changes.length === 0) return;
  const rowOf = new Map([...lanes.values()].flat().map((row) => [row.deliveryId, row]));
  const rows = changes.map((item) => {
    const row = rowOf.get(item.deliveryId);
    const head = row && heads.get(subjectKey(row));
    if (!row || !head) throw new TypeError('a change of a delivery that was not read');
    switch (item.kind) {
      case 'end':
        return { ...rowValues(row), state: END_STATE[item.reason], reason: item.reason, is_end: true };
      case 'stop':
        return { ...rowValues(row), stop_reason: item.reason };
      case 'refresh':
        return {
          ...rowValues(row),
          state: item.state,
          reason: item.reason,
          version: item.version,
          wait_until: item.waitUntil,
          order_id: head.orderId,
          recipe_ids: head.recipeIds,
        };
    }
  });
  tx.post(
    `UPDATE dispatcher.deliveries d SET
       state = c.state, reason = c.reason, stop_reason = c.stop_reason, version = c.version,
       wait_until = c.wait_until, order_id = CASE WHEN c.recipe_ids IS NULL THEN d.order_id ELSE c.order_id END,
       recipe_ids = coalesce(c.recipe_ids, d.recipe_ids),
       next_attempt_at = CASE WHEN c.state = 'retrying' THEN d.next_attempt_at END,
       finished_at = CASE WHEN c.is_end THEN now() END, updated_at = now()
     FROM json_to_recordset($1) AS c (
       delivery_id uuid, state text, reason text, stop_reason text, version integer, wait_until timestamptz,
       order_id text, recipe_ids text[], is_end boolean)
     WHERE d.delivery_id = c.delivery_id`,
    [JSON.stringify(rows)],
  );
}

/** Of the deliveries that end here those that were offered before. */
export function attemptedEnds(
  changes: LaneDecision['changes'],
  lanes: ReadonlyMap<string, readonly LaneRow[]>,
): readonly string[] {
  const ended = new Set(changes.filter(({ kind }) => kind === 'end').map(({ deliveryId }) => deliveryId));
  if (ended.size === 0) return [];
  return [...lanes.values()]
    .flat()
    .filter(({ deliveryId, frozen }) => frozen && ended.has(deliveryId))
    .map(({ deliveryId }) => deliveryId);
}

function rowValues({
  deliveryId,
  state,
  reason,
  stopReason,
  version,
  waitUntil,
}: LaneRow): Record<string, unknown> {
  return { delivery_id: deliveryId, state, reason, stop_reason: stopReason, version, wait_until: waitUntil };
}

/** Of a delivery that somebody asked for by hand. */
export type ManualRow = NewRow & {
  readonly trigger_id: string;
  readonly only_missing: boolean;
  readonly repeats: string | null;
};

/** Rows of deliveries that are in flight from the start have an `offer_id`, and what is `missing` in their set. */
export function insert(tx: Tx, rows: readonly (NewRow | ManualRow)[]): void {
  if (rows.length === 0) return;
  const columns = `delivery_id, tenant, integration_id, integration_version, destination, trigger, event_id, kind,
    subject, lane_key, channel, order_number, order_id, recipe_ids, version, state, reason, wait_until, accepted_at,
    traceparent, trigger_id, repeats, offer_id`;
  tx.post(
    `INSERT INTO dispatcher.deliveries (${columns}, only_missing, missing, frozen_at)
     SELECT ${columns}, coalesce(only_missing, false), coalesce(missing, '{}'),
            CASE WHEN offer_id IS NOT NULL THEN now() END
     FROM json_to_recordset($1) AS i (
       delivery_id uuid, tenant text, integration_id uuid, integration_version integer, destination text,
       trigger text, event_id uuid, kind text, subject text, lane_key text, channel text, order_number text,
       order_id text, recipe_ids text[], version integer, state text, reason text, wait_until timestamptz,
       accepted_at timestamptz, traceparent text, trigger_id uuid, repeats uuid, offer_id uuid,
       only_missing boolean, missing text[])
     ORDER BY delivery_id
     ON CONFLICT (event_id, integration_id) DO NOTHING`,
    [JSON.stringify(rows)],
  );
}
