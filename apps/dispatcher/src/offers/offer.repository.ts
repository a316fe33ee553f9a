import { Inject, Injectable } from '@nestjs/common';

import {
  DEFAULT_CHANNEL,
  DELIVERY_REQUESTED,
  DeliveryRequestedV1,
  MAX_OFFERED_ITEMS,
  OrderChangedV1,
  RecipeSavedV1,
  deliveryRequestedTopic,
} from '@heddle/contracts';
import type { DeliveryNotes, DestinationKind, OfferedFile, Receipt } from '@heddle/contracts';
import { DatabaseError, enqueue, execute, inTransaction, query } from '@heddle/persistence';
import type { DataSource, OutboxRow, Tx } from '@heddle/persistence';
import { LOGGER, childOf, describeError, newId } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { MISSING_CODE, missingRecipes } from '../attempts/attempt-end.js';
import { DELIVERY_FACTS, finishedEvents, promoteLanes } from '../deliveries/finished.js';
import type { DeliveryFacts } from '../deliveries/finished.js';
import { DeliveryMetrics } from '../deliveries/delivery.metrics.js';
import { subjectKey } from '../events/fact.js';
import type { Subject } from '../events/fact.js';
import { budgetOf, refill } from '../flow/flow.js';
import { FLOW_COLUMNS, saveFlows } from '../flow/flow.repository.js';
import type { FlowRow } from '../flow/flow.repository.js';
import { targetVersionOf } from '../integrations/integration.repository.js';
import { recordNotices } from '../notices/record-notices.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE, POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { MAX_EARLIER_OFFERS, MAY_HAVE_LEFT_FILES } from './clean-up.js';
import { MAX_FILES, MAX_OFFER_BYTES, cancelledFileSet, orderFileSet, recipeFileSet } from './file-set.js';
import type { Include } from './file-set.js';
import { SealedSettings, versionKey } from './sealed-settings.js';

/** Offers and integrations of one transaction. */
const MAX_OFFERS = 500;
const MAX_INTEGRATIONS = 200;
/** Offers that a transaction takes over which has something else to do. */
const MAX_FIRST_OFFERS = 200;

/** Of the silence: what is left of it is for stopping an attempt and for the difference of two clocks' paces. */
const LEASE_SHARE = 2 / 3;

/** A worker reports every 3 s, so this silence says that it is gone, long before it is certain enough to offer again. */
const OVERDUE_PROGRESS_S = 9;
/** A group moves a dead member's partitions to another within this time. */
const OVERDUE_START_S = 15;

interface ReadyFlow extends FlowRow {
  readonly tenant: string;
  readonly destination: DestinationKind;
  readonly version: number;
  readonly include: Include;
  readonly now: number;
}

interface ClaimedRow extends DeliveryFacts {
  readonly attempts: number;
  readonly frozen: boolean;
  readonly onlyMissing: boolean;
  readonly missing: readonly string[];
  readonly notes: DeliveryNotes;
  readonly earlierOfferIds: readonly string[];
}

interface Claimed extends ClaimedRow {
  readonly flow: ReadyFlow;
}

interface HeadDocument extends Subject {
  readonly document: string;
}

interface FileRow {
  readonly deliveryId: string;
  readonly name: string;
  readonly kind: OfferedFile['kind'];
  readonly mimeType: string;
  readonly source: OfferedFile['source'];
  readonly begun: readonly string[];
}

/** Of a recipe or an order, or what a notification says. */
interface FileSet {
  readonly files: readonly OfferedFile[];
  readonly missing: readonly string[];
}

interface PreparedOffer {
  readonly kind: 'offer';
  readonly delivery: Claimed;
  readonly offerId: string;
  readonly set: FileSet;
  readonly delivered: Delivered;
  readonly row: OutboxRow;
}

/** A claimed delivery with the files that it is to send, or the reason why it ends here. */
type Prepared =
  | PreparedOffer
  | {
      readonly kind: 'end';
      readonly delivery: Claimed;
      readonly failure: Failure | null;
      readonly set: FileSet;
      readonly delivered: Delivered;
    };
/** Receipts that earlier deliveries of the same content have, by file name. */
type Delivered = ReadonlyMap<string, Receipt>;
const NOTHING: FileSet = { files: [], missing: [] };
interface OfferContent {
  readonly offerId: string;
  readonly files: readonly OfferedFile[];
  readonly missing: readonly string[];
  readonly earlierNotes: DeliveryNotes;
  readonly sealedSettings: string;
  readonly items: OrderItems | undefined;
}
type OrderItems = NonNullable<DeliveryRequestedV1['order']>['items'];
type Failure = Parameters<typeof finishedEvents>[1]['failure'] & object;

export interface FirstOffers {
  /** By delivery id: what is in flight has these columns in place of those of one that is ready. */
  readonly rows: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** To be called when the rows are inserted. */
  readonly save: () => Promise<void>;
}
const NO_OFFERS: FirstOffers = { rows: new Map(), save: () => Promise.resolve() };
const NEVER_OFFERED = {
  attempts: 0,
  frozen: false,
  onlyMissing: false,
  missing: [],
  notes: {},
  earlierOfferIds: [],
} as const;

/** Moves what is ready into flight, in one transaction with its offers. */
@Injectable()
export class OfferRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(SealedSettings) private readonly settings: SealedSettings,
    @Inject(DeliveryMetrics) private readonly metrics: DeliveryMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** One look for what an idle dispatcher has to do, which is nearly always nothing. */
  async look(): Promise<{ readonly isDue: boolean; readonly isReady: boolean }> {
    const [found] = await query<{ isDue: boolean; isReady: boolean }>(
      this.dataSource,
      `SELECT EXISTS (SELECT FROM dispatcher.deliveries WHERE ${DUE_RETRY}) OR
              EXISTS (SELECT FROM dispatcher.deliveries WHERE ${DUE_WAIT}) AS "isDue",
              EXISTS (${READY_FLOWS}) AS "isReady"`,
    );
    return found ?? { isDue: true, isReady: true };
  }

  /** Without a lock: most of what is offered never was ready, so there is nearly always nothing for a pass to do. */
  async isReady(): Promise<boolean> {
    const [found] = await query<{ isReady: boolean }>(
      this.dataSource,
      `SELECT EXISTS (${READY_FLOWS}) AS "isReady"`,
    );
    return found?.isReady ?? true;
  }

  /** What waited for the clock becomes ready: retries that are due, orders whose recipe did not come in time. */
  async wakeDue(): Promise<number> {
    const wake = (where: string): string =>
      `UPDATE dispatcher.deliveries SET state = 'ready', reason = NULL, next_attempt_at = NULL, updated_at = now()
       WHERE delivery_id IN (SELECT delivery_id FROM dispatcher.deliveries WHERE ${where}
                             ORDER BY delivery_id LIMIT 1000 FOR UPDATE SKIP LOCKED)`;
    const retries = await execute(this.dataSource, wake(DUE_RETRY));
    return retries + (await execute(this.dataSource, wake(DUE_WAIT)));
  }

  /**
   * Locks the flows of integrations that have something ready; those that another dispatcher holds are left to
   * it. Deliveries that an event or a report holds at this moment are left for the next pass.
   */
  async offer(): Promise<{ readonly offered: number; readonly more: boolean }> {
    const result = await inTransaction(this.dataSource, async (tx) => {
      const flows = await lockReadyFlows(tx);
      if (flows.length === 0) return { prepared: [], more: false };
      const budgets = budgetsOf(
        flows,
        await openOffers(
          tx,
          flows.map(({ integrationId }) => integrationId),
        ),
      );
      const claimed = await claim(tx, flows, budgets);
      if (claimed.length === 0) return { prepared: [], more: false };

      const prepared = await this.prepare(tx, claimed);
      this.store(tx, prepared);
      await spendTokens(tx, flows, prepared.filter(isOffer));
      recordNotices(
        tx,
        prepared
          .filter((item) => item.kind === 'end')
          .filter(({ delivery }) => delivery.flow.hasLists)
          .map(({ delivery, failure }) => ({
            row: delivery,
            hasFailed: failure !== null,
            hasStopped: false,
          })),
      );
      return { prepared, more: claimed.length >= MAX_OFFERS || flows.length >= MAX_INTEGRATIONS };
    });
    for (const item of result.prepared) {
      if (item.kind === 'end') this.metrics.finished(item.delivery, item.failure === null, new Date());
    }
    return { offered: result.prepared.length, more: result.more };
  }

  /**
   * Offers deliveries that the caller's transaction is about to insert as ready, each the first of its lane, where their
   * integrations have room and nothing older that is ready. The rest is left to the pump, and so is what cannot be
   * offered.
   *
   * Waits for nobody: flows that somebody holds are passed over. To be called with the locks of the heads.
   */
  async offerFirst(
    tx: Tx,
    deliveries: readonly DeliveryFacts[],
    heads: ReadonlyMap<string, HeadContent>,
  ): Promise<FirstOffers> {
    const first = deliveries.slice(0, MAX_FIRST_OFFERS);
    if (first.length === 0) return NO_OFFERS;
    const integrationIds = [...new Set(first.map(({ integrationId }) => integrationId))];
    // Sent together: what is counted is what the last holder of the locks has left.
    const [flows, open] = await Promise.all([
      lockIdleFlows(tx, integrationIds),
      openOffers(tx, integrationIds),
    ]);
    const budgets = new Map(budgetsOf(flows, open));
    const flowOf = new Map(flows.map((flow) => [flow.integrationId, flow]));
    const claimed = first.flatMap((facts): Claimed[] => {
      const flow = flowOf.get(facts.integrationId);
      const budget = budgets.get(facts.integrationId) ?? 0;
      if (flow === undefined || budget === 0) return [];
      budgets.set(facts.integrationId, budget - 1);
      return [{ ...facts, ...NEVER_OFFERED, flow }];
    });
    if (claimed.length === 0) return NO_OFFERS;
    const offers = (await this.prepareFirst(tx, claimed, heads)).filter(isOffer);
    return {
      rows: new Map(offers.map((offer) => [offer.delivery.deliveryId, updateRow(offer)])),
      save: async () => {
        insertFiles(tx, offers);
        this.insertOffers(tx, offers.map(offerValues));
        enqueue(
          tx,
          SCHEMA,
          offers.map(({ row }) => row),
        );
        await spendTokens(tx, flows, offers);
      },
    };
  }

  /** What the caller does goes on where offers cannot be made: the pump complains, and tries again. */
  private async prepareFirst(
    tx: Tx,
    claimed: readonly Claimed[],
    heads: ReadonlyMap<string, HeadContent>,
  ): Promise<readonly Prepared[]> {
    try {
      return await this.prepare(tx, claimed, heads);
    } catch (error) {
      if (error instanceof DatabaseError) throw error;
      this.logger.error({ err: describeError(error) }, 'offer.first-failed');
      return [];
    }
  }

  private async prepare(
    tx: Tx,
    claimed: readonly Claimed[],
    known?: ReadonlyMap<string, HeadContent>,
  ): Promise<readonly Prepared[]> {
    forgetElsewhere(tx, claimed);
    const [heads, files, receipts, notes, sealed, recipients] = await Promise.all([
      known ??
        headDocuments(
          tx,
          // What is frozen needs the lines of its order alone.
          claimed.filter(({ frozen, kind }) => !frozen || kind === 'order'),
        ),
      openFiles(
        tx,
        claimed.filter(({ frozen }) => frozen),
      ),
      earlierReceipts(
        tx,
        claimed.filter(({ frozen, onlyMissing }) => onlyMissing && !frozen),
      ),
      earlierNotes(
        tx,
        claimed.filter(({ onlyMissing }) => onlyMissing),
      ),
      this.settings.of(tx, [...new Map(claimed.map(({ flow }) => [flow.integrationId, flow])).values()]),
      this.settings.ofNotifications(
        tx,
        claimed.filter(({ kind }) => kind === 'notification'),
      ),
    ]);
    return claimed.map((delivery): Prepared => {
      try {
        const set = delivery.frozen
          ? { files: files.get(delivery.deliveryId) ?? [], missing: delivery.missing }
          : freeze(delivery, headOf(heads, delivery));
        const content = contentOf(delivery, heads);
        if (set.files.length > MAX_FILES) {
          const count = set.files.length.toLocaleString('en');
          return tooLarge(
            content,
            `${count} files, and one delivery has ${MAX_FILES.toLocaleString('en')} at most`,
          );
        }
        const delivered = deliveredOf(content, set, receipts.get(delivery.deliveryId) ?? []);
        const open = set.files.filter(({ name }) => !delivered.has(name));
        if (open.length === 0) {
          const failure =
            set.missing.length > 0 ? { code: MISSING_CODE, message: missingRecipes(set.missing) } : null;
          return { kind: 'end', delivery: content, failure, set, delivered };
        }
        const offerId = newId();
        const envelope =
          delivery.kind === 'notification'
            ? recipients.get(delivery.deliveryId)
            : sealed.get(versionKey(delivery.flow));
        if (envelope === undefined) throw new TypeError('settings of an approved version are missing');
        const row = this.offerRow(content, {
          offerId,
          files: open,
          missing: set.missing,
          earlierNotes: notedOf(content, open, notes.get(delivery.deliveryId) ?? []),
          sealedSettings: envelope,
          items: itemsOf(content, headOf(heads, delivery)),
        });
        if (Buffer.byteLength(row.data) > MAX_OFFER_BYTES)
          return tooLarge(content, 'the addresses of the files do not fit into one message');
        return { kind: 'offer', delivery: content, offerId, set, delivered, row };
      } catch (error) {
        // One delivery that cannot be offered must not hold up the others for ever.
        this.logger.error(
          { err: describeError(error), delivery_id: delivery.deliveryId, tenant_id: delivery.tenant },
          'offer.impossible',
        );
        const failure = {
          code: 'UNKNOWN' as const,
          message: 'preparing the files: the delivery cannot be offered',
        };
        return { kind: 'end', delivery, failure, set: NOTHING, delivered: new Map() };
      }
    });
  }

  private offerRow(
    delivery: Claimed,
    { offerId, files, missing, earlierNotes, sealedSettings, items }: OfferContent,
  ): OutboxRow {
    const { tenant, kind, subject, orderNumber, orderId, version, flow } = delivery;
    const offer = DeliveryRequestedV1.parse({
      deliveryId: delivery.deliveryId,
      offerId,
      notAfter: new Date(flow.now + this.policy.offerNotAfterMs).toISOString(),
      tenant,
      // A notification may be about several.
      channel: kind === 'notification' ? DEFAULT_CHANNEL : delivery.channel,
      integrationId: delivery.integrationId,
      integrationVersion: flow.version,
      trigger: delivery.trigger,
      attempt: delivery.attempts + 1,
      ...(kind === 'order' && { order: { orderUid: subject, orderNumber, orderId, version, items } }),
      recipeIds: delivery.recipeIds,
      ...(missing.length > 0 && { missingRecipeIds: missing }),
      sealedSettings,
      files,
      ...(Object.keys(delivery.notes).length > 0 && { notes: delivery.notes }),
      ...(Object.keys(earlierNotes).length > 0 && { earlierNotes }),
      earlierOfferIds: delivery.earlierOfferIds,
      leaseMs: Math.floor(this.policy.silenceMs * LEASE_SHARE),
      acceptedAt: delivery.acceptedAt.toISOString(),
    });
    return {
      topic: deliveryRequestedTopic(flow.destination),
      key: delivery.laneKey,
      id: newId(),
      type: DELIVERY_REQUESTED,
      time: new Date(flow.now).toISOString(),
      subject: delivery.deliveryId,
      tenant,
      traceparent: childOf(delivery.traceparent ?? undefined),
      data: JSON.stringify(offer),
    };
  }

  private store(tx: Tx, prepared: readonly Prepared[]): void {
    const offers = prepared.filter(isOffer);
    const ends = prepared.filter((item) => item.kind === 'end');
    insertFiles(tx, prepared);
    tx.post(
      `UPDATE dispatcher.deliveries d SET
         state = c.state, reason = NULL, offer_id = c.offer_id, integration_version = c.integration_version,
         version = c.version, recipe_ids = c.recipe_ids, order_id = c.order_id, wait_until = NULL,
         frozen_at = coalesce(d.frozen_at, now()), missing = c.missing, code = coalesce(c.code, d.code),
         message = coalesce(c.message, d.message), attempts = d.attempts + c.spent,
         finished_at = CASE WHEN c.offer_id IS NULL THEN now() END, updated_at = now()
       FROM json_to_recordset($1) AS c (
         delivery_id uuid, state text, offer_id uuid, integration_version integer, version integer,
         recipe_ids text[], order_id text, missing text[], code text, message text, spent integer)
       WHERE d.delivery_id = c.delivery_id`,
      [JSON.stringify(prepared.map(updateRow))],
    );
    // An end with a failure is shown as the attempt that it stands for.
    const failed = ends.flatMap(({ delivery, failure }) => (failure === null ? [] : [{ delivery, failure }]));
    this.insertOffers(tx, [
      ...offers.map(offerValues),
      ...failed.map(({ delivery, failure }) => ({
        ...offerValues({ delivery, offerId: newId() }),
        ...failure,
      })),
    ]);
    promoteLanes(
      tx,
      ends.map(({ delivery }) => delivery.laneKey),
    );
    const finishedAt = new Date(prepared[0]?.delivery.flow.now ?? Date.now());
    enqueue(tx, SCHEMA, [
      ...offers.map(({ row }) => row),
      ...ends.flatMap(({ delivery, failure, delivered }) =>
        finishedEvents(delivery, {
          attempts: delivery.attempts + (failure === null ? 0 : 1),
          failure,
          receipts: [...delivered.values()],
          finishedAt,
        }),
      ),
    ]);
  }

  private insertOffers(tx: Tx, rows: readonly Readonly<Record<string, unknown>>[]): void {
    tx.post(
      `INSERT INTO dispatcher.offers
         (offer_id, delivery_id, integration_id, integration_version, attempt, not_after, finished_at, outcome, code,
          message)
       SELECT offer_id, delivery_id, integration_id, integration_version, attempt, now() + make_interval(secs => $2::float8 / 1000),
              CASE WHEN code IS NOT NULL THEN now() END, CASE WHEN code IS NOT NULL THEN 'failed' END, code, message
       FROM json_to_recordset($1) AS i (
         offer_id uuid, delivery_id uuid, integration_id uuid, integration_version integer, attempt integer,
         code text, message text)`,
      [JSON.stringify(rows), this.policy.offerNotAfterMs],
    );
  }
}

function isOffer(item: Prepared): item is PreparedOffer {
  return item.kind === 'offer';
}

function insertFiles(tx: Tx, prepared: readonly Prepared[]): void {
  const files = prepared
    .filter(({ delivery }) => !delivery.frozen)
    .flatMap(({ delivery, set, delivered }) =>
      set.files.map((file, position) => ({
        delivery_id: delivery.deliveryId,
        position,
        name: file.name,
        kind: file.kind,
        mime_type: file.mimeType,
        source: file.source,
        receipt: delivered.get(file.name) ?? null,
      })),
    );
  if (files.length > 0) {
    tx.post(
      `INSERT INTO dispatcher.delivery_files (delivery_id, position, name, kind, mime_type, source, receipt)
       SELECT * FROM json_to_recordset($1) AS i (
         delivery_id uuid, position integer, name text, kind text, mime_type text, source json, receipt json)`,
      [JSON.stringify(files)],
    );
  }
}

/** What Kafka would refuse must not get into the outbox: it would make the dispatcher unready for everybody. */
function tooLarge(delivery: Claimed, what: string): Prepared {
  const message = `collecting the files: ${what}; split the order, or include fewer kinds of files`;
  return {
    kind: 'end',
    delivery,
    failure: { code: 'TOO_LARGE', message },
    set: NOTHING,
    delivered: new Map(),
  };
}

const DUE_RETRY = `state = 'retrying' AND next_attempt_at <= now()`;
const DUE_WAIT = `state = 'waiting' AND reason = 'recipe' AND wait_until <= now()`;

/** Flows that may offer now, as far as one can see without counting what is under way. */
const OPEN_FLOWS = `SELECT ${FLOW_COLUMNS}, i.tenant, i.destination, v.version, v.include,
    extract(epoch FROM clock_timestamp())::float8 * 1000 AS now
  FROM dispatcher.integration_flow f
  JOIN dispatcher.integrations i USING (integration_id)
  JOIN dispatcher.integration_versions v
    ON v.integration_id = i.integration_id AND v.version = i.approved_version
  WHERE i.status = 'enabled' AND i.deleted_at IS NULL AND (f.probe_at IS NULL OR f.probe_at <= clock_timestamp())`;

/** Those that have something to offer. */
const READY_FLOWS = `${OPEN_FLOWS}
    AND EXISTS (SELECT FROM dispatcher.deliveries d
                WHERE d.integration_id = f.integration_id AND d.state = 'ready')`;

/** Those of them that hold nothing back. */
async function lockIdleFlows(tx: Tx, integrationIds: readonly string[]): Promise<readonly ReadyFlow[]> {
  return await tx.query<ReadyFlow>(
    `${OPEN_FLOWS} AND f.integration_id = ANY($1)
       AND (SELECT d.delivery_id FROM dispatcher.deliveries d
            WHERE d.integration_id = f.integration_id AND d.state = 'ready' LIMIT 1) IS NULL
     FOR UPDATE OF f SKIP LOCKED`,
    [integrationIds],
  );
}

interface OpenOffers {
  readonly live: number;
  readonly all: number;
}

async function openOffers(
  tx: Tx,
  integrationIds: readonly string[],
): Promise<ReadonlyMap<string, OpenOffers>> {
  const rows = await tx.query<OpenOffers & { readonly integrationId: string }>(
    `SELECT integration_id AS "integrationId", count(*)::int AS "all",
            count(*) FILTER (WHERE CASE WHEN started_at IS NULL
              THEN offered_at > clock_timestamp() - make_interval(secs => ${String(OVERDUE_START_S)})
              ELSE heard_at > clock_timestamp() - make_interval(secs => ${String(OVERDUE_PROGRESS_S)}) END)::int AS live
     FROM dispatcher.offers WHERE integration_id = ANY($1) AND outcome IS NULL GROUP BY 1`,
    [integrationIds],
  );
  return new Map(rows.map((row) => [row.integrationId, row]));
}

function budgetsOf(
  flows: readonly ReadyFlow[],
  open: ReadonlyMap<string, OpenOffers>,
): ReadonlyMap<string, number> {
  let left = MAX_OFFERS;
  const budgets = new Map<string, number>();
  for (const flow of flows) {
    const refilled = refill(flow, flow.limits, flow.now);
    const wanted = budgetOf(
      refilled,
      flow.limits,
      open.get(flow.integrationId) ?? { live: 0, all: 0 },
      flow.now,
    );
    const budget = Math.min(wanted, left);
    left -= budget;
    if (budget > 0) budgets.set(flow.integrationId, budget);
  }
  return budgets;
}

async function spendTokens(
  tx: Tx,
  flows: readonly ReadyFlow[],
  offers: readonly PreparedOffer[],
): Promise<void> {
  const used = new Map<string, number>();
  for (const { delivery } of offers)
    used.set(delivery.integrationId, (used.get(delivery.integrationId) ?? 0) + 1);
  await saveFlows(
    tx,
    flows
      .map((flow) => refill(flow, flow.limits, flow.now) as ReadyFlow)
      .flatMap((flow) => {
        const count = used.get(flow.integrationId) ?? 0;
        if (count === 0 || flow.limits.perSecond === null) return [];
        return [{ ...flow, tokens: Math.max(0, flow.tokens - count) }];
      }),
  );
}

/** A flow is locked first and looked at afterwards: what is counted next is what the last holder has left. */
async function lockReadyFlows(tx: Tx): Promise<readonly ReadyFlow[]> {
  return await tx.query<ReadyFlow>(
    `${READY_FLOWS} ORDER BY random() LIMIT ${String(MAX_INTEGRATIONS)} FOR UPDATE OF f SKIP LOCKED`,
  );
}

/**
 * `earlierOfferIds`: those of this delivery that were started, and those of older deliveries of the lane that may have
 * left something behind, so that a full disk has its room back before anything is written.
 */
async function claim(
  tx: Tx,
  flows: readonly ReadyFlow[],
  budgets: ReadonlyMap<string, number>,
): Promise<readonly Claimed[]> {
  if (budgets.size === 0) return [];
  const flowOf = new Map(flows.map((flow) => [flow.integrationId, flow]));
  const rows = await tx.query<ClaimedRow>(
    `SELECT d.*, ARRAY(
       SELECT o.offer_id FROM dispatcher.deliveries e JOIN dispatcher.offers o ON o.delivery_id = e.delivery_id
       WHERE e.tenant = d.tenant AND e.subject = d.subject AND e.integration_id = d."integrationId"
         AND o.started_at IS NOT NULL
         AND (e.delivery_id = d."deliveryId" OR (e.state <> 'succeeded' AND ${MAY_HAVE_LEFT_FILES}))
       ORDER BY o.offer_id DESC LIMIT ${String(MAX_EARLIER_OFFERS)}) AS "earlierOfferIds"
     FROM json_to_recordset($1) AS b (integration_id uuid, budget integer)
     CROSS JOIN LATERAL (
       SELECT ${DELIVERY_FACTS}, d.attempts, d.frozen_at IS NOT NULL AS frozen, d.only_missing AS "onlyMissing",
              d.missing, d.notes
       FROM dispatcher.deliveries d
       WHERE d.integration_id = b.integration_id AND d.state = 'ready'
       ORDER BY d.delivery_id LIMIT b.budget FOR UPDATE SKIP LOCKED) d`,
    [JSON.stringify([...budgets].map(([integration_id, budget]) => ({ integration_id, budget })))],
  );
  return rows.map((row) => {
    const flow = flowOf.get(row.integrationId);
    if (!flow) throw new TypeError('a delivery of an integration that was not asked for');
    return { ...row, flow };
  });
}

async function headDocuments(tx: Tx, claimed: readonly Claimed[]): Promise<ReadonlyMap<string, HeadContent>> {
  if (claimed.length === 0) return new Map();
  const subjects = new Map(
    claimed.flatMap(({ tenant, kind, subject }) =>
      kind === 'notification'
        ? []
        : [[subjectKey({ tenant, kind, subject }), { tenant, kind, subject }] as const],
    ),
  );
  const rows = await tx.query<HeadDocument>(
    `SELECT h.tenant, h.kind, h.subject, h.document
     FROM json_to_recordset($1) AS s (tenant text, kind text, subject text)
     JOIN dispatcher.heads h USING (tenant, kind, subject)`,
    [JSON.stringify([...subjects.values()])],
  );
  return new Map(rows.map((row) => [subjectKey(row), contentOfHead(row)]));
}

export type HeadContent =
  | { readonly kind: 'order'; readonly order: OrderChangedV1 }
  | { readonly kind: 'recipe'; readonly recipe: RecipeSavedV1 };

function contentOfHead({ kind, document }: HeadDocument): HeadContent {
  return headContent(kind, JSON.parse(document));
}

/** @param document of an event, as the contract has parsed it. */
export function headContent(kind: HeadContent['kind'], document: unknown): HeadContent {
  return kind === 'order'
    ? { kind, order: document as OrderChangedV1 }
    : { kind, recipe: document as RecipeSavedV1 };
}

function headOf(
  heads: ReadonlyMap<string, HeadContent>,
  { tenant, kind, subject }: Claimed,
): HeadContent | undefined {
  return kind === 'notification' ? undefined : heads.get(subjectKey({ tenant, kind, subject }));
}

function freeze(delivery: Claimed, head: HeadContent | undefined): FileSet {
  if (head === undefined) throw new TypeError('the head of a delivery is missing');
  if (head.kind === 'recipe') return recipeFileSet(head.recipe, delivery.flow.include);
  if (delivery.trigger === 'order.cancelled') return cancelledFileSet(head.order);
  return orderFileSet(head.order, delivery.flow.include);
}

/** The delivery as of the version that it sends. */
function contentOf(delivery: Claimed, heads: ReadonlyMap<string, HeadContent>): Claimed {
  const current = { ...delivery, integrationVersion: delivery.flow.version };
  const head = delivery.frozen ? undefined : headOf(heads, delivery);
  if (head === undefined) return current;
  if (head.kind === 'recipe') return { ...current, version: head.recipe.version };
  const { version, orderId, items } = head.order;
  const recipeIds = items.filter(({ itemQuantity }) => itemQuantity > 0).map(({ recipeId }) => recipeId);
  return { ...current, version, orderId, recipeIds: [...new Set(recipeIds)] };
}

/** The lines of the version that the delivery sends. A version that the order has left behind is not known any more. */
function itemsOf({ version }: Claimed, head: HeadContent | undefined): OrderItems {
  if (head?.kind !== 'order' || head.order.version !== version) return undefined;
  const used = head.order.items.filter(({ itemQuantity }) => itemQuantity > 0);
  if (used.length > MAX_OFFERED_ITEMS) return undefined;
  return used.map(({ itemId, recipeId, itemQuantity }) => ({ itemId, recipeId, itemQuantity }));
}

interface EarlierRow extends FileRow {
  readonly version: number;
  readonly receipt: Receipt;
}

/**
 * What earlier deliveries of the same lane have proof of. The newest proof of a file comes last. Of deliveries that have
 * noted something the notes count instead: there a file can have gone to some, and not to others.
 */
async function earlierReceipts(
  tx: Tx,
  claimed: readonly Claimed[],
): Promise<ReadonlyMap<string, readonly EarlierRow[]>> {
  if (claimed.length === 0) return new Map();
  const rows = await tx.query<EarlierRow>(
    `SELECT d.delivery_id AS "deliveryId", e.version, f.name, f.source, f.receipt
     FROM dispatcher.deliveries d
     JOIN dispatcher.deliveries e
       ON e.tenant = d.tenant AND e.subject = d.subject AND e.kind = d.kind AND e.integration_id = d.integration_id
     JOIN dispatcher.integrations i ON i.integration_id = e.integration_id
     JOIN dispatcher.integration_versions a
       ON a.integration_id = e.integration_id AND a.version = e.integration_version
     -- What was delivered to another place is not there.
     JOIN dispatcher.integration_versions b
       ON b.integration_id = e.integration_id AND b.version = i.approved_version
         AND ${targetVersionOf('b')} = ${targetVersionOf('a')}
     JOIN dispatcher.delivery_files f ON f.delivery_id = e.delivery_id
     WHERE d.delivery_id = ANY($1) AND e.delivery_id < d.delivery_id AND f.receipt IS NOT NULL AND e.notes = '{}'
     ORDER BY e.delivery_id`,
    [claimed.map(({ deliveryId }) => deliveryId)],
  );
  return Map.groupBy(rows, ({ deliveryId }) => deliveryId);
}

/** Proof counts for the same version alone: behind the same address another version may have other bytes. */
function deliveredOf({ version }: Claimed, { files }: FileSet, earlier: readonly EarlierRow[]): Delivered {
  const sources = new Map(files.map(({ name, source }) => [name, JSON.stringify(source)]));
  return new Map(
    earlier
      .filter((row) => row.version === version && JSON.stringify(row.source) === sources.get(row.name))
      .map(({ name, receipt }) => [name, receipt]),
  );
}

interface EarlierNotes {
  readonly deliveryId: string;
  readonly version: number;
  readonly notes: DeliveryNotes;
  /** Of its files, by name. */
  readonly sources: Readonly<Record<string, OfferedFile['source']>>;
}

/** What earlier deliveries of the same lane have noted, the newest last. Notes say themselves which place they are about. */
async function earlierNotes(
  tx: Tx,
  claimed: readonly Claimed[],
): Promise<ReadonlyMap<string, readonly EarlierNotes[]>> {
  if (claimed.length === 0) return new Map();
  const rows = await tx.query<EarlierNotes>(
    `SELECT d.delivery_id AS "deliveryId", e.version, e.notes,
            (SELECT json_object_agg(f.name, f.source) FROM dispatcher.delivery_files f
             WHERE f.delivery_id = e.delivery_id) AS sources
     FROM dispatcher.deliveries d
     JOIN dispatcher.deliveries e
       ON e.tenant = d.tenant AND e.subject = d.subject AND e.kind = d.kind AND e.integration_id = d.integration_id
     WHERE d.delivery_id = ANY($1) AND e.delivery_id < d.delivery_id AND e.notes <> '{}' AND e.frozen_at IS NOT NULL
     ORDER BY e.delivery_id`,
    [claimed.map(({ deliveryId }) => deliveryId)],
  );
  return Map.groupBy(rows, ({ deliveryId }) => deliveryId);
}

/** Notes are about a whole set: they count where it held all that is to be sent, of the same version. */
function notedOf(
  { version }: Claimed,
  open: readonly OfferedFile[],
  earlier: readonly EarlierNotes[],
): DeliveryNotes {
  const held = earlier.filter(
    ({ sources, ...row }) =>
      row.version === version &&
      open.every(({ name, source }) => JSON.stringify(sources[name]) === JSON.stringify(source)),
  );
  return Object.assign({}, ...held.map(({ notes }) => notes)) as DeliveryNotes;
}

/** A set is whole at one place: what an earlier attempt delivered, or began, at another one is sent again. */
function forgetElsewhere(tx: Tx, claimed: readonly Claimed[]): void {
  const changed = claimed.filter(
    ({ frozen, integrationVersion, flow }) => frozen && integrationVersion !== flow.version,
  );
  if (changed.length === 0) return;
  tx.post(
    `UPDATE dispatcher.delivery_files f SET receipt = NULL, begun = '{}'
     FROM json_to_recordset($1) AS c (delivery_id uuid, integration_id uuid, earlier integer, current integer)
     JOIN dispatcher.integration_versions a ON a.integration_id = c.integration_id AND a.version = c.earlier
     JOIN dispatcher.integration_versions b ON b.integration_id = c.integration_id AND b.version = c.current
     WHERE f.delivery_id = c.delivery_id AND ${targetVersionOf('a')} <> ${targetVersionOf('b')}`,
    [
      JSON.stringify(
        changed.map(({ deliveryId, integrationId, integrationVersion, flow }) => ({
          delivery_id: deliveryId,
          integration_id: integrationId,
          earlier: integrationVersion,
          current: flow.version,
        })),
      ),
    ],
  );
}

async function openFiles(
  tx: Tx,
  claimed: readonly Claimed[],
): Promise<ReadonlyMap<string, readonly OfferedFile[]>> {
  if (claimed.length === 0) return new Map();
  const rows = await tx.query<FileRow>(
    `SELECT delivery_id AS "deliveryId", name, kind, mime_type AS "mimeType", source, begun
     FROM dispatcher.delivery_files WHERE delivery_id = ANY($1) AND receipt IS NULL ORDER BY delivery_id, position`,
    [claimed.map(({ deliveryId }) => deliveryId)],
  );
  const files = rows.map(({ begun, ...file }) =>
    begun.length === 0 ? file : { ...file, begun: [...begun] },
  );
  return Map.groupBy(files, ({ deliveryId }) => deliveryId);
}

function updateRow(item: Prepared): Record<string, unknown> {
  const { delivery } = item;
  const content = {
    delivery_id: delivery.deliveryId,
    integration_version: delivery.integrationVersion,
    version: delivery.version,
    recipe_ids: delivery.recipeIds,
    order_id: delivery.orderId,
  };
  if (item.kind === 'offer')
    return { ...content, state: 'in-flight', offer_id: item.offerId, missing: item.set.missing, spent: 0 };
  const { failure } = item;
  if (failure === null) return { ...content, state: 'succeeded', missing: [], spent: 0 };
  return { ...content, ...failure, state: 'failed', missing: delivery.missing, spent: 1 };
}

function offerValues({
  delivery,
  offerId,
}: Pick<PreparedOffer, 'delivery' | 'offerId'>): Record<string, unknown> {
  return {
    offer_id: offerId,
    delivery_id: delivery.deliveryId,
    integration_id: delivery.integrationId,
    integration_version: delivery.flow.version,
    attempt: delivery.attempts + 1,
  };
}
