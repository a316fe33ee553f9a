import { setTimeout as delay } from 'node:timers/promises';

import { DELIVERY_ATTEMPTED, DeliveryAttemptedV1, RETRYABLE, TOPIC } from '@heddle/contracts';
import type {
  AttemptOutcome,
  BegunWrite,
  DeliveryNotes,
  DeliveryRequestedV1,
  FileFault,
  Receipt,
} from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, Destination } from '@heddle/destination-kit';
import type { BatchResult, EventBatch, OutgoingEvent, PublishResult, ReceivedEvent } from '@heddle/messaging';
import { newId, traceIdOf } from '@heddle/platform';
import type { Logger, Metrics } from '@heddle/platform';
import type { SecretSealer } from '@heddle/secrets';
import type { z } from 'zod';

import { Attempt } from './attempt.js';
import { checkLinks } from './check-links.js';
import type { CheckFile } from './check-links.js';
import { FetchedFiles } from './fetched-files.js';
import { FileCollection } from './file-collection.js';
import type { ReserveTogether } from './file-collection.js';
import { FileSet } from './file-set.js';
import type { FetchFile } from './file-set.js';
import type { LinkFile } from './link-file.js';
import { openSettings } from './open-settings.js';
import { RunningAttempts } from './running-attempts.js';
import { PacedReports } from './paced-reports.js';
import { SettingsInUse } from './settings-in-use.js';
import { shortReceipt } from './short-receipt.js';
import { WorkerMetrics } from './worker-metrics.js';

export interface ReportPublisher {
  publish(
    events: readonly OutgoingEvent[],
    options: { readonly deadlineMs: number },
  ): Promise<readonly PublishResult[]>;
}

export interface DestinationWorkerOptions<TSettings> {
  /** Name of the app: source of its reports. */
  readonly service: string;
  readonly destination: Destination<TSettings>;
  readonly settings: z.ZodType<TSettings>;
  readonly sealer: Pick<SecretSealer, 'open'>;
  readonly publisher: ReportPublisher;
  readonly fetch: FetchFile;
  /** Of the files that are not fetched, as links are all that is sent. */
  readonly check: CheckFile;
  readonly reserveTogether: ReserveTogether;
  readonly link: LinkFile;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly pool: number;
  readonly attemptTimeoutMs: number;
  readonly progressIntervalMs: number;
  readonly leaseMs: number;
}

interface Result {
  readonly outcome: AttemptOutcome;
  readonly error?: DestinationError;
  readonly faults: readonly FileFault[];
}

type Report =
  | { readonly phase: 'started' }
  | {
      readonly phase: 'progress';
      readonly receipts: Attempt['receipts'];
      readonly begun?: readonly BegunWrite[];
      readonly notes?: DeliveryNotes;
    }
  | ({ readonly phase: 'finished'; readonly durationMs: number } & Result);

/** Refusals that are about one file, and say nothing of the others. */
const OF_ONE_FILE: ReadonlySet<string> = new Set(['ALREADY_EXISTS', 'TOO_LARGE', 'REJECTED']);
/** Below the lease, so that a second try fits into it. */
const REPORT_DEADLINE_MS = 10_000;
/** One integration holds at most this part of the pool. Source: architecture, section 2, rule 6. */
const INTEGRATION_SHARE = 1 / 8;
const LEASE_CHECK_MS = 1_000;
/** How closely the interval of progress reports is kept. */
const PROGRESS_TICK_MS = 500;
/** Of an offer's lease: reports are this frequent, so that one may be lost. */
const PROGRESS_SHARE = 1 / 3;
/** Of the interval: an attempt that was reported since then, as begun or otherwise, waits for the next time. */
const SILENT_SHARE = 1 / 2;
/** Longest wait for an aborted attempt to end before its place is given away. */
const ABORT_GRACE_MS = 15_000;
/** A finished report is worth repeating for as long as its delivery may still be open. */
const FINISHED_REPORT_MS = 10 * 60_000;
const RETAKE_MS = 1_000;
/** Ends fetches that nobody waits for any more. One for all: it says nothing, and making one takes its time. */
const ATTEMPT_ENDED = new DestinationError('TIMEOUT', 'fetching: the attempt has ended');
/** Of a destination that fetches nothing. */
const NO_FILES: Pick<Delivery<unknown>, 'files' | 'collect'> = {
  files: {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
  },
  collect: () => Promise.resolve([]),
};
/** Longest time for removing what earlier offers left. */
const TIDY_MS = 30_000;
/** Of one integration; beyond it, what was left stays. */
const MAX_WAITING_TIDIES = 100;

/**
 * Takes offers off Kafka, makes their attempts side by side and reports them.
 *
 * The order of things is what keeps deliveries safe (architecture, section 6): `started` is
 * acknowledged first, then the offsets are committed, then the attempt begins. Killed before the
 * commit, Kafka gives the offers to another worker; killed after it, the dispatcher notices the
 * silence. A worker that cannot report gives its attempts up before anybody else is offered them.
 */
export class DestinationWorker<TSettings> {
  private readonly workerId = newId();
  private readonly metrics: WorkerMetrics;
  /** Those waiting for their commit, and those under way. */
  private readonly attempts = new RunningAttempts();
  private readonly settings: SettingsInUse<TSettings>;
  private readonly reports = new Set<Promise<void>>();
  private readonly outcomes: PacedReports;
  /** By integration: removals that wait for their turn, which comes when the one before has ended. */
  private readonly tidying = new Map<string, { waiting: number; last: Promise<void> }>();
  private progressAt = 0;
  private readonly timers = new AbortController();
  private readonly hasEnded = new AbortController();
  private onRoom: () => void = () => undefined;
  /** An offer was left in its partition. */
  private isHungry = false;
  private isDraining = false;

  constructor(private readonly options: DestinationWorkerOptions<TSettings>) {
    this.settings = new SettingsInUse(options.sealer, options.settings);
    this.outcomes = new PacedReports(options.publisher, REPORT_DEADLINE_MS);
    this.metrics = new WorkerMetrics(options.metrics, options.destination.kind, {
      pool: options.pool,
      inUse: () => this.attempts.size,
    });
  }

  /** @param onRoom offers that were not taken can be offered again. */
  start(onRoom: () => void): void {
    this.onRoom = onRoom;
    const tickMs = Math.min(this.options.progressIntervalMs, PROGRESS_TICK_MS);
    void this.every(tickMs, async () => {
      const intervalMs = this.progressIntervalMs;
      if (performance.now() - this.progressAt < intervalMs) return;
      this.progressAt = performance.now();
      await this.reportProgress(intervalMs);
    });
    void this.every(LEASE_CHECK_MS, () => this.checkLeases());
  }

  async take(batch: EventBatch): Promise<BatchResult> {
    const { events } = batch as EventBatch<DeliveryRequestedV1>;
    const admitted: Attempt[] = [];
    const reports: OutgoingEvent[] = [];
    const abandoned: DeliveryRequestedV1[] = [];
    let taken = 0;
    for (const event of events) {
      if (this.isDraining) break;
      if (!this.attempts.has(event.data.offerId)) {
        const attempt = new Attempt(event, Math.min(this.options.leaseMs, event.data.leaseMs ?? Infinity));
        const answer = this.admit(event);
        if (answer === 'later') break;
        if (answer === 'run') {
          this.attempts.add(attempt);
          admitted.push(attempt);
          reports.push(this.reportOf(attempt, { phase: 'started' }));
        } else {
          if (answer === 'expired') abandoned.push(event.data);
          reports.push(
            this.reportOf(attempt, { phase: 'finished', outcome: answer, durationMs: 0, faults: [] }),
          );
          this.metrics.finished(answer, undefined, 0);
          this.log(attempt, { outcome: answer, faults: [] }, 0);
        }
      }
      taken += 1;
    }
    this.isHungry = taken < events.length;
    if (taken === 0) return { taken, afterCommit: () => undefined };

    const sentAt = performance.now();
    const results = await this.options.publisher.publish(reports, { deadlineMs: REPORT_DEADLINE_MS });
    if (results.some(({ ok }) => !ok)) {
      for (const attempt of admitted) this.forget(attempt);
      this.isHungry = true;
      setTimeout(() => this.offerRoom(), RETAKE_MS).unref();
      return { taken: 0, afterCommit: () => undefined };
    }
    for (const attempt of admitted) attempt.reported(sentAt);
    return {
      taken,
      afterCommit: (committed) => {
        for (const attempt of admitted) {
          if (committed) void this.run(attempt);
          else this.forget(attempt);
        }
        if (committed) for (const offer of abandoned) this.tidyInTurn(offer);
      },
    };
  }

  /** A target that many deliveries were cut off from is asked by one after the other. */
  private tidyInTurn(offer: DeliveryRequestedV1): void {
    const { integrationId, earlierOfferIds } = offer;
    if (earlierOfferIds.length === 0) return;
    const turn = this.tidying.get(integrationId) ?? { waiting: 0, last: Promise.resolve() };
    if (turn.waiting >= MAX_WAITING_TIDIES) {
      this.notTidied(offer, 'THROTTLED');
      return;
    }
    turn.waiting += 1;
    turn.last = turn.last.then(async () => {
      await this.tidy(offer);
      turn.waiting -= 1;
      if (turn.waiting === 0) this.tidying.delete(integrationId);
    });
    this.tidying.set(integrationId, turn);
  }

  /**
   * After the time of an offer nothing is sent, but what earlier offers left is still in somebody's folder. Once, as
   * well as it can: the dispatcher offers it where no later offer of the lane would do it.
   */
  private async tidy(offer: DeliveryRequestedV1): Promise<void> {
    const { destination, sealer, settings: schema } = this.options;
    const { deliveryId, earlierOfferIds, tenant, channel, integrationId } = offer;
    try {
      this.hasEnded.signal.throwIfAborted();
      const settings = openSettings(sealer, schema, offer);
      const fileNames = offer.files.map(({ name }) => name);
      await destination.tidy?.(
        { deliveryId, earlierOfferIds, tenant, channel, integrationId, settings, fileNames },
        AbortSignal.timeout(TIDY_MS),
      );
    } catch (error) {
      this.notTidied(offer, error instanceof DestinationError ? error.code : 'UNKNOWN');
    }
  }

  private notTidied(offer: DeliveryRequestedV1, code: string): void {
    this.options.logger.warn({ ...this.idsOf({ offer }), code }, 'delivery.not-tidied');
  }

  /**
   * Takes nothing more, lets attempts finish for `graceMs`, then gives the rest back. Resolves when
   * all of it is reported, or cannot be within a moment.
   */
  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    const giveUp = performance.now() + graceMs;
    while (this.attempts.size > 0 && performance.now() < giveUp) await delay(25);
    for (const attempt of this.attempts.all()) attempt.abort('shutdown');
    const aborted = performance.now() + 1_500;
    while (this.attempts.size > 0 && performance.now() < aborted) await delay(25);
    this.timers.abort();
    const enough = new AbortController();
    const { signal } = enough;
    await Promise.race([
      Promise.all(this.reports),
      delay(1_500, undefined, { signal }).catch(() => undefined),
    ]);
    enough.abort();
    this.hasEnded.abort();
  }

  private admit({
    data: offer,
  }: ReceivedEvent<DeliveryRequestedV1>): 'run' | 'later' | 'released' | 'expired' {
    if (Date.parse(offer.notAfter) < Date.now()) return 'expired';
    if (this.attempts.size >= this.options.pool) return 'later';
    // The dispatcher has given up on the earlier offer; its temporary files go with the new one.
    for (const earlier of this.attempts.ofDelivery(offer.deliveryId)) earlier.abort('superseded');
    const share = Math.max(1, Math.floor(this.options.pool * INTEGRATION_SHARE));
    return this.attempts.ofIntegration(offer.integrationId) >= share ? 'released' : 'run';
  }

  private forget(attempt: Attempt): void {
    this.attempts.delete(attempt);
    this.offerRoom();
  }

  private offerRoom(): void {
    if (this.isHungry && !this.isDraining && this.attempts.size < this.options.pool) this.onRoom();
  }

  private async run(attempt: Attempt): Promise<void> {
    const startedMs = performance.now();
    attempt.startedAt = new Date();
    if (this.isDraining) attempt.abort('shutdown');
    const deadline = setTimeout(() => attempt.abort('deadline'), this.options.attemptTimeoutMs);
    const result = await this.make(attempt);
    clearTimeout(deadline);
    const durationMs = Math.round(performance.now() - startedMs);
    this.forget(attempt);
    this.metrics.finished(result.outcome, result.error, durationMs);
    this.log(attempt, result, durationMs);
    const report = this.reportFinished(attempt, { phase: 'finished', durationMs, ...result });
    this.reports.add(report);
    void report.finally(() => this.reports.delete(report));
  }

  /** Never rejects, and ends soon after an abort even where the destination does not. */
  private async make(attempt: Attempt): Promise<Result> {
    const { promise: stuck, resolve: isStuck } = Promise.withResolvers<'stuck'>();
    let grace: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      grace = setTimeout(isStuck, ABORT_GRACE_MS, 'stuck');
    };
    attempt.signal.addEventListener('abort', onAbort, { once: true });
    let failure: unknown;
    const faults: FileFault[] = [];
    try {
      const ended = await Promise.race([this.deliver(attempt, faults), stuck]);
      if (ended === 'stuck') this.options.logger.error(this.idsOf(attempt), 'delivery.attempt-stuck');
    } catch (error) {
      failure = error;
    } finally {
      clearTimeout(grace);
      attempt.signal.removeEventListener('abort', onAbort);
    }

    const delivered = new Set(attempt.receipts.map(({ name }) => name));
    const isComplete = attempt.offer.files.every(({ name }) => delivered.has(name));
    if (isComplete) return { outcome: 'succeeded', faults: [] };
    switch (attempt.abortedBy) {
      case 'shutdown':
      case 'lease':
      case 'superseded':
        return { outcome: 'released', faults: [] };
      case 'deadline':
        if (attempt.isHubAway) return { outcome: 'released', faults: [] };
        return { outcome: 'failed', error: tookTooLong(this.options.attemptTimeoutMs), faults };
      case undefined:
        return { outcome: 'failed', error: this.errorOf(failure, faults), faults };
    }
  }

  private async deliver(attempt: Attempt, faults: FileFault[]): Promise<void> {
    attempt.signal.throwIfAborted();
    await this.settings.during(attempt.offer, (settings) => this.deliverWith(settings, attempt, faults));
  }

  private async deliverWith(settings: TSettings, attempt: Attempt, faults: FileFault[]): Promise<void> {
    const { offer, signal } = attempt;
    const { destination, fetch, reserveTogether: reserve, check } = this.options;
    const fetched = new FetchedFiles(offer.files);
    if (destination.fetches === false) {
      // Links go out whole or not at all, as files do that are fetched.
      await checkLinks(offer.files, fetched, check, signal);
      faults.push(...fetched.faults);
      if (faults.length === 0) await this.send(attempt, fetched, this.deliveryOf(offer, settings, NO_FILES));
      return;
    }
    const fetching = new AbortController();
    const stop = (): void => fetching.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const isFed = destination.collects !== true;
    const fileSet = new FileSet(offer.tenant, isFed ? offer.files : [], fetched, fetch, fetching.signal);
    const collection = new FileCollection(
      offer.tenant,
      offer.files,
      fetched,
      { fetch, reserve },
      fetching.signal,
    );
    try {
      const delivery = this.deliveryOf(offer, settings, {
        files: fileSet.files,
        collect: (maxBytes) => collection.collect(maxBytes),
      });
      await this.send(attempt, fetched, delivery);
    } finally {
      // A destination's own error must not show as a fault of files that were still on their way.
      faults.push(...fetched.faults);
      fetching.abort(ATTEMPT_ENDED);
      signal.removeEventListener('abort', stop);
      await Promise.all([fileSet.close(), collection.close()]);
      attempt.isHubAway = fetched.isHubAway;
      await fetched.dispose();
      collection.giveBack();
    }
  }

  private async send(attempt: Attempt, fetched: FetchedFiles, delivery: Delivery<TSettings>): Promise<void> {
    const context: DeliveryContext = {
      signal: attempt.signal,
      assertLeased: () => attempt.assertLeased(),
      begin: ({ name, sha256 }) => this.record(attempt, { begun: [{ name, sha256 }] }),
      note: (notes) => this.record(attempt, { notes }),
      noteAtEnd: (notes) => {
        attempt.notes = { ...attempt.notes, ...notes };
      },
    };
    for await (const receipt of this.options.destination.deliver(delivery, context)) {
      attempt.receipts.push(receipt);
      attempt.unreported.push(receipt);
      await fetched.delivered(receipt.name);
    }
  }

  private deliveryOf(
    offer: DeliveryRequestedV1,
    settings: TSettings,
    { files, collect }: Pick<Delivery<TSettings>, 'files' | 'collect'>,
  ): Delivery<TSettings> {
    const { deliveryId, offerId, earlierOfferIds, tenant, channel, integrationId } = offer;
    const { trigger, attempt, order, recipeIds, missingRecipeIds, notes = {}, earlierNotes } = offer;
    return {
      deliveryId,
      offerId,
      earlierOfferIds,
      tenant,
      channel,
      integrationId,
      settings,
      trigger,
      attempt,
      ...(order !== undefined && { order }),
      recipeIds,
      ...(missingRecipeIds !== undefined && { missingRecipeIds }),
      notes,
      ...(earlierNotes !== undefined && { earlierNotes }),
      offered: offer.files.map(({ name, kind, mimeType }) => ({ name, kind, mimeType })),
      files,
      collect,
      linkTo: (name, access) => {
        const file = offer.files.find((offered) => offered.name === name);
        if (file) return Promise.resolve(this.options.link(file, offer, access));
        return Promise.reject(new DestinationError('UNKNOWN', 'linking to a file: it was not offered'));
      },
    };
  }

  /** What cannot be put on record does not go on: the attempt is given back. */
  private async record(
    attempt: Attempt,
    what: { readonly begun: readonly BegunWrite[] } | { readonly notes: DeliveryNotes },
  ): Promise<void> {
    const sentAt = performance.now();
    const report = this.reportOf(attempt, { phase: 'progress', receipts: [], ...what });
    const [result] = await this.options.publisher.publish([report], { deadlineMs: REPORT_DEADLINE_MS });
    if (result?.ok === true) attempt.reported(sentAt);
    else attempt.abort('lease');
    attempt.assertLeased();
  }

  private errorOf(failure: unknown, faults: readonly FileFault[]): DestinationError {
    // A file that can never be fetched, or is refused, must not end the tries of one that waiting may bring.
    const waiting = faults.find(({ code }) => RETRYABLE[code]);
    if (failure instanceof DestinationError && (waiting === undefined || !OF_ONE_FILE.has(failure.code)))
      return failure;
    if (failure !== undefined && !(failure instanceof DestinationError))
      return new DestinationError('UNKNOWN', 'making the attempt', { cause: failure });
    const fault = waiting ?? faults[0];
    // `NO_REPORT` never comes from a fetch.
    if (fault && fault.code !== 'NO_REPORT') return new DestinationError(fault.code, fault.message);
    return new DestinationError('UNKNOWN', 'making the attempt: a file has no receipt');
  }

  private get progressIntervalMs(): number {
    let intervalMs = this.options.progressIntervalMs;
    for (const { offer } of this.attempts.all())
      intervalMs = Math.min(intervalMs, (offer.leaseMs ?? Infinity) * PROGRESS_SHARE);
    return intervalMs;
  }

  /** Of those that nothing was heard of for a while: most end before there is a progress to report. */
  private async reportProgress(intervalMs: number): Promise<void> {
    const running = [...this.attempts.all()].filter(
      (attempt) =>
        attempt.startedAt !== undefined &&
        (attempt.unreported.length > 0 || attempt.silentMs >= intervalMs * SILENT_SHARE),
    );
    if (running.length > 0) {
      const sentAt = performance.now();
      const carried = running.map(({ unreported }) => unreported.length);
      const results = await this.options.publisher.publish(
        running.map((attempt) =>
          this.reportOf(attempt, { phase: 'progress', receipts: [...attempt.unreported] }),
        ),
        { deadlineMs: REPORT_DEADLINE_MS },
      );
      running.forEach((attempt, index) => {
        if (results[index]?.ok !== true) return;
        attempt.reported(sentAt);
        attempt.unreported.splice(0, carried[index]);
      });
    }
    // A partition may have been paused just after its room was announced.
    this.offerRoom();
  }

  private checkLeases(): void {
    for (const attempt of this.attempts.all()) if (!attempt.isLeased()) attempt.abort('lease');
  }

  private async reportFinished(attempt: Attempt, report: Report & { phase: 'finished' }): Promise<void> {
    let event = this.reportOf(attempt, report);
    let isShort = false;
    const giveUp = performance.now() + FINISHED_REPORT_MS;
    while (performance.now() < giveUp) {
      const result = await this.outcomes.publish(event);
      if (result?.ok === true) return;
      if (result?.error.code === 'CLOSED') break;
      if (result?.error.permanent === true) {
        if (isShort) break;
        // Larger than Kafka takes. Unheard of, all that has gone out would go out again.
        isShort = true;
        event = this.reportOf(attempt, report, attempt.receipts.map(shortReceipt));
        this.options.logger.warn(this.idsOf(attempt), 'delivery.report-shortened');
        continue;
      }
      if (this.hasEnded.signal.aborted) break;
      await delay(500, undefined, { signal: this.hasEnded.signal }).catch(() => undefined);
    }
    this.options.logger.error(this.idsOf(attempt), 'delivery.report-lost');
  }

  private reportOf(
    attempt: Attempt,
    report: Report,
    receipts: readonly Receipt[] = attempt.receipts,
  ): OutgoingEvent {
    const { event, offer, traceparent } = attempt;
    const at = new Date().toISOString();
    const common = {
      deliveryId: offer.deliveryId,
      offerId: offer.offerId,
      tenant: offer.tenant,
      integrationId: offer.integrationId,
      attempt: offer.attempt,
      workerId: this.workerId,
      at,
      acceptedAt: offer.acceptedAt,
    };
    const data = DeliveryAttemptedV1.parse(
      report.phase === 'finished'
        ? {
            phase: 'finished',
            ...common,
            outcome: report.outcome,
            code: report.error?.code ?? null,
            message: report.error?.message ?? null,
            retryAfterMs: report.error?.retryAfterMs ?? null,
            receipts,
            faults: report.faults,
            ...(Object.keys(attempt.notes).length > 0 && { notes: attempt.notes }),
            startedAt: attempt.startedAt?.toISOString() ?? null,
            durationMs: report.durationMs,
            sizeBytes: sizeOf(attempt),
          }
        : { ...report, ...common },
    );
    return {
      topic: TOPIC.deliveryAttempted,
      key: event.key,
      id: newId(),
      type: DELIVERY_ATTEMPTED,
      source: `/${this.options.service}`,
      time: at,
      subject: offer.deliveryId,
      tenant: offer.tenant,
      traceparent,
      data: JSON.stringify(data),
    };
  }

  private log(attempt: Attempt, { outcome, error, faults }: Result, durationMs: number): void {
    const { logger } = this.options;
    const { event, offer } = attempt;
    const line = {
      ...this.idsOf(attempt),
      trigger: offer.trigger,
      attempt: offer.attempt,
      outcome,
      ...(error && { code: error.code, message: error.message }),
      ...(attempt.abortedBy !== undefined && { aborted_by: attempt.abortedBy }),
      files: offer.files.length,
      delivered: attempt.receipts.length,
      faults: faults.length,
      size_bytes: sizeOf(attempt),
      duration_ms: durationMs,
      partition: event.partition,
      offset: event.offset,
      trace_id: traceIdOf(attempt.traceparent),
    };
    if (error?.code === 'UNKNOWN')
      logger.warn({ ...line, cause_code: causeCodeOf(error) }, 'delivery.attempted');
    else logger.info(line, 'delivery.attempted');
    if (error?.cause !== undefined) {
      logger.debug({ delivery_id: offer.deliveryId, err: error.cause }, 'delivery.attempt-cause');
    }
  }

  private idsOf({ offer }: Pick<Attempt, 'offer'>): Record<string, string> {
    return {
      tenant_id: offer.tenant,
      integration_id: offer.integrationId,
      delivery_id: offer.deliveryId,
      offer_id: offer.offerId,
    };
  }

  private async every(intervalMs: number, work: () => void | Promise<void>): Promise<void> {
    const { signal } = this.timers;
    for (;;) {
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await work();
      } catch (error) {
        this.options.logger.error({ err: error }, 'worker.timer-failed');
      }
    }
  }
}

function sizeOf({ receipts }: Attempt): number {
  return receipts.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0);
}

function tookTooLong(timeoutMs: number): DestinationError {
  return new DestinationError(
    'TIMEOUT',
    `making the attempt: it took longer than ${Math.round(timeoutMs / 1_000)} s`,
  );
}

/** Name and code of a fault that no table knows, so that the table can gain a row; never its text. */
function causeCodeOf({ cause }: DestinationError): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  const code = 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' || typeof code === 'number' ? `${cause.name}:${code}` : cause.name;
}
