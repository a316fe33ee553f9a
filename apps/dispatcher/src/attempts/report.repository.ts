import { Inject, Injectable } from '@nestjs/common';

import type {
  BegunWrite,
  DeliveryAttemptedV1,
  DeliveryCode,
  DeliveryNotes,
  Receipt,
} from '@heddle/contracts';
import type { EventBatch } from '@heddle/messaging';
import { enqueue, inTransaction, movePositions, query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { LOGGER, traceIdOf } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { DeliveryMetrics } from '../deliveries/delivery.metrics.js';
import { DELIVERY_FACTS, finishedEvents, promoteLanes } from '../deliveries/finished.js';
import type { DeliveryFacts } from '../deliveries/finished.js';
import { flowAfter, isMoved } from '../flow/flow.js';
import type { OfferEnd } from '../flow/flow.js';
import { lockFlows, readFlows, saveFlows } from '../flow/flow.repository.js';
import type { FlowRow } from '../flow/flow.repository.js';
import { targetVersionOf } from '../integrations/integration.repository.js';
import { lockForStop, stopGone } from '../integrations/stop-gone.js';
import type { GoneTarget } from '../integrations/stop-gone.js';
import type { EndReason } from '../lanes/lane.js';
import { recordNotices } from '../notices/record-notices.js';
import { CleanUp } from '../offers/clean-up.js';
import { SCHEMA } from '../schema/schema.js';
import { finishTests } from '../tests/test.repository.js';
import { DATA_SOURCE, POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { afterOffer } from './attempt-end.js';
import type { NextStep, OfferEnded } from './attempt-end.js';

type Finished = Extract<DeliveryAttemptedV1, { phase: 'finished' }>;

interface DeliveryRow extends DeliveryFacts {
  readonly state: string;
  readonly offerId: string | null;
  readonly attempts: number;
  readonly silences: number;
  readonly stopReason: EndReason | null;
  readonly missing: readonly string[];
  readonly now: Date;
}

interface FileRow {
  readonly deliveryId: string;
  readonly name: string;
  readonly receipt: Receipt | null;
}

/** An offer that ended: by the report of its worker, or given up. */
interface Ended extends OfferEnded {
  readonly deliveryId: string;
  readonly offerId: string;
  readonly attempt: number;
  readonly workerId: string | null;
  readonly sizeBytes: number | null;
  readonly durationMs: number | null;
  readonly wasStarted: boolean;
  readonly at: Date;
}

/** One delivery while a chunk of reports passes over it. */
class Tally {
  readonly receipts = new Map<string, Receipt | null>();
  readonly newReceipts = new Set<string>();
  readonly begun: BegunWrite[] = [];
  readonly notes: Record<string, string> = {};
  offerId: string | null;
  step: NextStep | undefined;
  lastFinishedAt: Date | undefined;

  constructor(
    readonly row: DeliveryRow,
    files: readonly FileRow[],
  ) {
    this.offerId = row.offerId;
    for (const { name, receipt } of files) this.receipts.set(name, receipt);
  }

  /** The first proof of a file stays. Receipts of names that were never offered prove nothing. */
  add(receipts: readonly Receipt[]): void {
    for (const receipt of receipts) {
      if (this.receipts.get(receipt.name) !== null) continue;
      this.receipts.set(receipt.name, receipt);
      this.newReceipts.add(receipt.name);
    }
  }

  begin(writes: readonly BegunWrite[] = []): void {
    this.begun.push(...writes);
  }

  note(notes: DeliveryNotes = {}): void {
    Object.assign(this.notes, notes);
  }

  get isComplete(): boolean {
    return this.receipts.size > 0 && [...this.receipts.values()].every((receipt) => receipt !== null);
  }

  get isOpen(): boolean {
    return this.step === undefined
      ? ['waiting', 'ready', 'in-flight', 'retrying'].includes(this.row.state)
      : this.step.state === 'ready' || this.step.state === 'retrying';
  }

  get spent(): { readonly attempts: number; readonly silences: number } {
    return this.step ?? this.row;
  }
}

interface Settled {
  readonly tallies: readonly Tally[];
  readonly ended: readonly Ended[];
  readonly stopped: readonly GoneTarget[];
  readonly now: Date;
}

/** Keeps what workers report, and decides what becomes of the deliveries whose offers end. */
@Injectable()
export class ReportRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
    @Inject(DeliveryMetrics) private readonly metrics: DeliveryMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Applies a batch in one transaction with a constant number of statements. Only the current
   * offer moves its delivery; receipts of older offers are kept, and where they complete a delivery that is
   * still open and not under way, it has succeeded.
   *
   * @returns whether something may have become ready.
   */
  async apply(batch: EventBatch<DeliveryAttemptedV1>): Promise<boolean> {
    const settled = await inTransaction(this.dataSource, async (tx): Promise<Settled | undefined> => {
      const isFresh = await movePositions(tx, SCHEMA, batch.chunks);
      const reports = batch.events.filter(isFresh).map(({ data }) => data);
      if (reports.length === 0) return undefined;

      const telling = reports.filter((report) => report.phase !== 'started');
      await lockForStop(tx, telling.filter(saysGone));
      const tallies = await readDeliveries(tx, telling);
      // Deliveries are locked before their offers, as by whoever gives one up.
      hear(tx, reports);
      finishTests(
        tx,
        telling.filter(
          (report) => report.phase === 'finished' && !tallies.has(report.deliveryId),
        ) as Finished[],
      );
      if (tallies.size === 0) return undefined;
      const elsewhere = await offersElsewhere(tx, telling, tallies);
      const now = [...tallies.values()][0]?.row.now ?? new Date();
      const ended: Ended[] = [];
      for (const report of telling) {
        const tally = tallies.get(report.deliveryId);
        if (tally?.row.tenant !== report.tenant) continue;
        if (!elsewhere.has(report.offerId)) {
          tally.add(report.receipts);
          if (report.phase === 'progress') tally.begin(report.begun);
        }
        tally.note(report.notes);
        if (report.phase !== 'finished') continue;
        const end = endedBy(report);
        ended.push(end);
        this.decide(tally, end);
      }
      const { told, listed } = await this.store(tx, [...tallies.values()], ended);
      const stopped = await stopGone(
        tx,
        [...tallies.values()].filter(isGone).map(({ row }) => row),
      );
      recordNotices(tx, endedOf(tallies, listed, stopped));
      return { tallies: [...tallies.values()], ended: told, stopped, now };
    });
    if (!settled) return false;
    this.tell(settled);
    return settled.tallies.some(({ step }) => step !== undefined);
  }

  /**
   * Gives up offers whose worker started and was not heard of again, and those that no worker took in time.
   *
   * To be called only while every report has been read for at least as long.
   */
  async giveUp(silentForMs: number): Promise<boolean> {
    const overdue = `outcome IS NULL AND CASE WHEN started_at IS NULL THEN not_after < clock_timestamp()
      ELSE heard_at < clock_timestamp() - make_interval(secs => $1::float8 / 1000) END`;
    const found = await query<{ deliveryId: string }>(
      this.dataSource,
      `SELECT delivery_id AS "deliveryId" FROM dispatcher.offers WHERE ${overdue} ORDER BY 1 LIMIT 500`,
      [silentForMs],
    );
    if (found.length === 0) return false;
    const settled = await inTransaction(this.dataSource, async (tx): Promise<Settled> => {
      const tallies = await readDeliveries(tx, found);
      // Looked at again under the lock: a report may have come in between.
      const rows = await tx.query<Pick<Ended, 'deliveryId' | 'offerId' | 'attempt' | 'wasStarted'>>(
        `SELECT delivery_id AS "deliveryId", offer_id AS "offerId", attempt, started_at IS NOT NULL AS "wasStarted"
         FROM dispatcher.offers WHERE ${overdue} AND delivery_id = ANY($2) ORDER BY delivery_id`,
        [silentForMs, [...tallies.keys()]],
      );
      const now = [...tallies.values()][0]?.row.now ?? new Date();
      const ended = rows.map((row): Ended => ({
        ...row,
        outcome: row.wasStarted ? 'silent' : 'expired',
        code: null,
        message: null,
        retryAfterMs: null,
        workerId: null,
        sizeBytes: null,
        durationMs: null,
        at: now,
      }));
      for (const end of ended) {
        const tally = tallies.get(end.deliveryId);
        if (tally) this.decide(tally, end);
      }
      const { told, listed } = await this.store(tx, [...tallies.values()], ended);
      recordNotices(tx, endedOf(tallies, listed, []));
      return { tallies: [...tallies.values()], ended: told, stopped: [], now };
    });
    this.tell(settled);
    return true;
  }

  private decide(tally: Tally, end: Ended): void {
    const isCurrent = tally.offerId === end.offerId;
    // Another offer is under way: it ends first, so that two versions never meet at the target.
    if (!isCurrent && (tally.offerId !== null || !tally.isOpen || !tally.isComplete)) return;
    const { row, isComplete } = tally;
    tally.step = afterOffer(
      { ...tally.spent, stopReason: row.stopReason, missing: row.missing, isComplete },
      end,
      this.policy.retry,
      Math.random(),
    );
    tally.offerId = null;
    tally.lastFinishedAt = end.at;
  }

  /** @returns the ends that were news, and the integrations with notification lists. */
  private async store(
    tx: Tx,
    tallies: readonly Tally[],
    ended: readonly Ended[],
  ): Promise<{ readonly told: readonly Ended[]; readonly listed: ReadonlySet<string> }> {
    saveReceipts(tx, tallies);
    saveBegun(tx, tallies);
    saveNotes(tx, tallies);
    const ending = endOffers(tx, ended);
    const moved = tallies.filter(({ step }) => step !== undefined);
    moveDeliveries(tx, moved);
    const cleaning = this.cleanUp.enqueue(
      tx,
      moved.filter(isAbandoned).map(({ row }) => row.deliveryId),
    );
    promoteLanes(
      tx,
      moved.filter(({ isOpen }) => !isOpen).map(({ row }) => row.laneKey),
    );
    enqueue(
      tx,
      SCHEMA,
      moved.flatMap(({ row, step, receipts }) => {
        if (step?.state !== 'succeeded' && step?.state !== 'failed') return [];
        return finishedEvents(row, {
          attempts: step.attempts,
          failure: step.state === 'failed' ? { code: step.code, message: step.message } : null,
          receipts: [...receipts.values()].filter((receipt) => receipt !== null),
          finishedAt: row.now,
        });
      }),
    );
    // Looked at without a lock first: while all goes well nothing moves, and nobody waits for anybody.
    const integrationIds = ended.length === 0 ? [] : tallies.map(({ row }) => row.integrationId);
    const [told, flows] = await Promise.all([ending, readFlows(tx, [...new Set(integrationIds)]), cleaning]);
    await this.moveFlows(tx, tallies, told, flows);
    const listed = flows.filter(({ hasLists }) => hasLists).map(({ integrationId }) => integrationId);
    return { told, listed: new Set(listed) };
  }

  /** Last, as its rows are shared by many lanes: they are locked for the shortest time. */
  private async moveFlows(
    tx: Tx,
    tallies: readonly Tally[],
    told: readonly Ended[],
    seen: readonly FlowRow[],
  ): Promise<void> {
    const tenantOf = new Map(tallies.map(({ row }) => [row.integrationId, row.tenant]));
    const integrationOf = new Map(tallies.map(({ row }) => [row.deliveryId, row.integrationId]));
    const telling = told.flatMap((end) => {
      const integrationId = integrationOf.get(end.deliveryId);
      const offerEnd = flowEndOf(end);
      return integrationId === undefined || offerEnd === undefined ? [] : [{ integrationId, offerEnd, end }];
    });
    if (telling.length === 0) return;
    const now = tallies[0]?.row.now.getTime() ?? Date.now();
    const byIntegration = Map.groupBy(telling, ({ integrationId }) => integrationId);
    const afterAll = (flow: FlowRow): FlowRow =>
      (byIntegration.get(flow.integrationId) ?? []).reduce<FlowRow>(
        (state, { offerEnd }) => ({
          ...state,
          ...flowAfter(state, offerEnd, flow.limits, now, this.policy.breaker),
        }),
        flow,
      );
    const moving = seen.filter((flow) => isMoved(flow, afterAll(flow)));
    if (moving.length === 0) return;
    const flows = await lockFlows(
      tx,
      moving.map(({ integrationId }) => integrationId),
    );
    await saveFlows(
      tx,
      flows.map((flow) => {
        const next = afterAll(flow);
        const place = { tenant_id: tenantOf.get(flow.integrationId), integration_id: flow.integrationId };
        if (flow.probeAt === null && next.probeAt !== null)
          this.logger.warn({ ...place, failures: next.failures }, 'breaker.opened');
        if (flow.probeAt !== null && next.probeAt === null) this.logger.info(place, 'breaker.closed');
        return next;
      }),
    );
  }

  /** After the commit: figures and the one line per attempt. */
  private tell({ tallies, ended, stopped, now }: Settled): void {
    const tallyOf = new Map(tallies.map((tally) => [tally.row.deliveryId, tally]));
    for (const end of ended) {
      const tally = tallyOf.get(end.deliveryId);
      if (!tally) continue;
      const { row, step, receipts } = tally;
      this.metrics.attempt(row.destination, end);
      this.logger.info(
        {
          tenant_id: row.tenant,
          integration_id: row.integrationId,
          integration_version: row.integrationVersion,
          delivery_id: row.deliveryId,
          offer_id: end.offerId,
          destination: row.destination,
          trigger: row.trigger,
          order_version: row.version,
          attempt: end.attempt,
          outcome: end.outcome,
          code: end.code,
          state: step?.state ?? row.state,
          files: receipts.size,
          size_bytes: end.sizeBytes,
          duration_ms: end.durationMs,
          age_ms: now.getTime() - row.acceptedAt.getTime(),
          trace_id: traceIdOf(row.traceparent ?? undefined),
        },
        'delivery.attempted',
      );
    }
    for (const { tenant, integrationId, deliveryId } of stopped) {
      this.logger.warn(
        { tenant_id: tenant, integration_id: integrationId, delivery_id: deliveryId },
        'integration.stopped',
      );
    }
    for (const { row, step, lastFinishedAt } of tallies) {
      if (step?.state === 'succeeded' || step?.state === 'failed')
        this.metrics.finished(row, step.state === 'succeeded', lastFinishedAt ?? now);
    }
  }
}

const GONE = 'GONE' satisfies DeliveryCode;

function saysGone(report: DeliveryAttemptedV1): boolean {
  return report.phase === 'finished' && report.code === GONE;
}

function isGone({ step }: Tally): boolean {
  return step?.state === 'failed' && step.code === GONE;
}

function endedOf(
  tallies: ReadonlyMap<string, Tally>,
  listed: ReadonlySet<string>,
  stopped: readonly GoneTarget[],
): Parameters<typeof recordNotices>[1] {
  const stopping = new Set(stopped.map(({ deliveryId }) => deliveryId));
  return [...tallies.values()].flatMap(({ row, step }) =>
    listed.has(row.integrationId) && (step?.state === 'succeeded' || step?.state === 'failed')
      ? [{ row, hasFailed: step.state === 'failed', hasStopped: stopping.has(row.deliveryId) }]
      : [],
  );
}

/** No later offer of the delivery will take away what an attempt has left. */
function isAbandoned({ isOpen, step }: Tally): boolean {
  return !isOpen && step?.state !== 'succeeded';
}

function endedBy(report: Finished): Ended {
  const { deliveryId, offerId, attempt, outcome, code, message, retryAfterMs, sizeBytes, durationMs } =
    report;
  const faults = report.faults.slice(0, 5).map((fault) => fault.message);
  return {
    deliveryId,
    offerId,
    attempt,
    outcome,
    code: outcome === 'failed' ? (code ?? 'UNKNOWN') : null,
    message: outcome === 'failed' ? (message ?? faults.join('; ')).slice(0, 2_000) : null,
    retryAfterMs,
    workerId: report.workerId,
    sizeBytes,
    durationMs,
    wasStarted: report.startedAt !== null,
    at: new Date(report.at),
  };
}

function flowEndOf(end: Ended): OfferEnd | undefined {
  switch (end.outcome) {
    case 'succeeded':
      return { kind: 'succeeded' };
    case 'failed':
      return { kind: 'failed', code: end.code ?? ('UNKNOWN' satisfies DeliveryCode) };
    case 'released':
      // Given back at shutdown says nothing about room.
      return end.wasStarted ? undefined : { kind: 'no-room' };
    case 'expired':
    case 'silent':
      return undefined;
  }
}

/**
 * Signs of life, by our own clock: the workers' clocks are their own. Offers whose end is in the same batch are left to
 * it: most attempts take no longer than that. `coalesce` keeps the planner from starting at
 * the open offers, of which it believes that there are none.
 */
function hear(tx: Tx, reports: readonly DeliveryAttemptedV1[]): void {
  const ending = new Set(reports.filter(({ phase }) => phase === 'finished').map(({ offerId }) => offerId));
  const rows = new Map<string, { offer_id: string; delivery_id: string; worker_id: string }>();
  for (const { offerId, deliveryId, workerId } of reports) {
    if (ending.has(offerId)) continue;
    rows.set(offerId, { offer_id: offerId, delivery_id: deliveryId, worker_id: workerId });
  }
  if (rows.size === 0) return;
  tx.post(
    `UPDATE dispatcher.offers o SET
       worker_id = c.worker_id, started_at = coalesce(o.started_at, now()), heard_at = clock_timestamp()
     FROM json_to_recordset($1) AS c (offer_id uuid, delivery_id uuid, worker_id uuid)
     WHERE o.offer_id = c.offer_id AND o.delivery_id = c.delivery_id AND coalesce(o.outcome, '') = ''`,
    [JSON.stringify([...rows.values()])],
  );
}

/** Locks the deliveries; the files are read afterwards, so that they are what the last holder has left. */
async function readDeliveries(
  tx: Tx,
  reports: readonly { readonly deliveryId: string }[],
): Promise<ReadonlyMap<string, Tally>> {
  const ids = [...new Set(reports.map(({ deliveryId }) => deliveryId))];
  if (ids.length === 0) return new Map();
  const locked = tx.query<DeliveryRow>(
    `SELECT ${DELIVERY_FACTS}, d.state, d.offer_id AS "offerId", d.attempts, d.silences,
            d.stop_reason AS "stopReason", d.missing, clock_timestamp() AS now
     FROM dispatcher.deliveries d WHERE d.delivery_id = ANY($1) ORDER BY d.delivery_id FOR UPDATE`,
    [ids],
  );
  const [rows, files] = await Promise.all([
    locked,
    tx.query<FileRow>(
      `SELECT delivery_id AS "deliveryId", name, receipt FROM dispatcher.delivery_files
       WHERE delivery_id = ANY($1) ORDER BY delivery_id, position`,
      [ids],
    ),
  ]);
  const filesOf = Map.groupBy(files, ({ deliveryId }) => deliveryId);
  return new Map(rows.map((row) => [row.deliveryId, new Tally(row, filesOf.get(row.deliveryId) ?? [])]));
}

/**
 * Older offers that were sent to another place than the newest one: what they prove is not there. Those that do not say
 * their version, as an older dispatcher has made them, count.
 */
async function offersElsewhere(
  tx: Tx,
  reports: readonly { readonly deliveryId: string; readonly offerId: string }[],
  tallies: ReadonlyMap<string, Tally>,
): Promise<ReadonlySet<string>> {
  const older = reports.filter(({ deliveryId, offerId }) => tallies.get(deliveryId)?.offerId !== offerId);
  if (older.length === 0) return new Set();
  const rows = await tx.query<{ offerId: string }>(
    `SELECT o.offer_id AS "offerId" FROM dispatcher.offers o JOIN dispatcher.deliveries d USING (delivery_id)
     JOIN dispatcher.integration_versions a
       ON a.integration_id = d.integration_id AND a.version = o.integration_version
     JOIN dispatcher.integration_versions b
       ON b.integration_id = d.integration_id AND b.version = d.integration_version
     WHERE o.offer_id = ANY($1) AND ${targetVersionOf('a')} <> ${targetVersionOf('b')}`,
    [older.map(({ offerId }) => offerId)],
  );
  return new Set(rows.map(({ offerId }) => offerId));
}

function saveReceipts(tx: Tx, tallies: readonly Tally[]): void {
  const rows = tallies.flatMap(({ row, receipts, newReceipts }) =>
    [...newReceipts].map((name) => ({ delivery_id: row.deliveryId, name, receipt: receipts.get(name) })),
  );
  if (rows.length === 0) return;
  tx.post(
    `UPDATE dispatcher.delivery_files f SET receipt = c.receipt
     FROM json_to_recordset($1) AS c (delivery_id uuid, name text, receipt json)
     WHERE f.delivery_id = c.delivery_id AND f.name = c.name AND f.receipt IS NULL`,
    [JSON.stringify(rows)],
  );
}

function saveBegun(tx: Tx, tallies: readonly Tally[]): void {
  const rows = tallies.flatMap(({ row, begun }) =>
    begun.map(({ name, sha256 }) => ({ delivery_id: row.deliveryId, name, sha256 })),
  );
  if (rows.length === 0) return;
  // Joined to several new hashes of one file, an UPDATE would take but one of them.
  tx.post(
    `UPDATE dispatcher.delivery_files f SET begun = ARRAY(SELECT unnest(f.begun) UNION SELECT unnest(c.begun))
     FROM (SELECT delivery_id, name, array_agg(sha256) AS begun
           FROM json_to_recordset($1) AS r (delivery_id uuid, name text, sha256 text) GROUP BY 1, 2) c
     WHERE f.delivery_id = c.delivery_id AND f.name = c.name AND NOT f.begun @> c.begun`,
    [JSON.stringify(rows)],
  );
}

function saveNotes(tx: Tx, tallies: readonly Tally[]): void {
  const rows = tallies
    .filter(({ notes }) => Object.keys(notes).length > 0)
    .map(({ row, notes }) => ({ delivery_id: row.deliveryId, notes }));
  if (rows.length === 0) return;
  tx.post(
    `UPDATE dispatcher.deliveries d SET notes = d.notes || c.notes
     FROM json_to_recordset($1) AS c (delivery_id uuid, notes jsonb) WHERE d.delivery_id = c.delivery_id`,
    [JSON.stringify(rows)],
  );
}

/**
 * A late report replaces the verdict that an offer was silent. A repeated one changes nothing.
 *
 * @returns the ends that were news.
 */
async function endOffers(tx: Tx, ended: readonly Ended[]): Promise<readonly Ended[]> {
  if (ended.length === 0) return [];
  const last = new Map(ended.map((end) => [end.offerId, end]));
  const rows = [...last.values()].map((end) => ({
    offer_id: end.offerId,
    delivery_id: end.deliveryId,
    worker_id: end.workerId,
    was_started: end.wasStarted,
    outcome: end.outcome,
    code: end.code,
    message: end.message,
    size_bytes: end.sizeBytes,
    duration_ms: end.durationMs,
  }));
  const updated = await tx.query<{ offer_id: string }>(
    `UPDATE dispatcher.offers o SET
       outcome = c.outcome, code = c.code, message = c.message, size_bytes = c.size_bytes,
       duration_ms = c.duration_ms, finished_at = clock_timestamp(), worker_id = coalesce(c.worker_id, o.worker_id),
       started_at = CASE WHEN c.was_started THEN coalesce(o.started_at, now()) ELSE o.started_at END
     FROM json_to_recordset($1) AS c (
       offer_id uuid, delivery_id uuid, worker_id uuid, was_started boolean, outcome text, code text, message text,
       size_bytes bigint, duration_ms float8)
     WHERE o.offer_id = c.offer_id AND o.delivery_id = c.delivery_id
       AND coalesce(o.outcome, '') IN ('', 'silent', 'expired') AND o.outcome IS DISTINCT FROM c.outcome
     RETURNING o.offer_id`,
    [JSON.stringify(rows)],
  );
  return updated.flatMap((row) => last.get(row.offer_id) ?? []);
}

function moveDeliveries(tx: Tx, moved: readonly Tally[]): void {
  if (moved.length === 0) return;
  const rows = moved.flatMap(({ row, step, isOpen }) => {
    if (step === undefined) return [];
    const hasFailure = step.state === 'failed' || step.state === 'retrying';
    return {
      delivery_id: row.deliveryId,
      state: step.state,
      reason: 'reason' in step ? step.reason : null,
      attempts: step.attempts,
      silences: step.silences,
      code: hasFailure ? step.code : null,
      message: hasFailure ? step.message : null,
      delay_ms: step.state === 'retrying' ? step.delayMs : null,
      is_final: !isOpen,
      is_success: step.state === 'succeeded',
    };
  });
  tx.post(
    `UPDATE dispatcher.deliveries d SET
       state = c.state, reason = c.reason, attempts = c.attempts, silences = c.silences, offer_id = NULL,
       code = CASE WHEN c.is_success THEN NULL ELSE coalesce(c.code, d.code) END,
       message = CASE WHEN c.is_success THEN NULL ELSE coalesce(c.message, d.message) END,
       next_attempt_at = clock_timestamp() + make_interval(secs => c.delay_ms / 1000),
       stop_reason = CASE WHEN c.is_final THEN NULL ELSE d.stop_reason END,
       finished_at = CASE WHEN c.is_final THEN clock_timestamp() END, updated_at = now()
     FROM json_to_recordset($1) AS c (
       delivery_id uuid, state text, reason text, attempts integer, silences integer, code text, message text,
       delay_ms float8, is_final boolean, is_success boolean)
     WHERE d.delivery_id = c.delivery_id`,
    [JSON.stringify(rows)],
  );
}
