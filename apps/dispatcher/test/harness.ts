import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { createLogger } from '@heddle/platform';
import type { Logger } from '@heddle/platform';
import { Registry } from 'prom-client';

import type {
  DeliveryRequestedV1,
  DeliveryState,
  DestinationKind,
  OrderChangedV1,
  RecipeSavedV1,
  Trigger,
} from '@heddle/contracts';
import { DeliveryAttemptedV1, DeliveryFinishedV1, TOPIC } from '@heddle/contracts';
import type { PartitionChunk, ReceivedEvent } from '@heddle/messaging';
import { connectDataSource, execute, inTransaction, query, runMigrations } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { newId, newTraceparent } from '@heddle/platform';
import { SecretSealer, parseKeyring } from '@heddle/secrets';
import { createDatabase } from '@heddle/testing';

import { ReportRepository } from '../src/attempts/report.repository.js';
import { CancelService } from '../src/deliveries/cancel.service.js';
import { DeliveryMetrics } from '../src/deliveries/delivery.metrics.js';
import { DeliveryRepository } from '../src/deliveries/delivery.repository.js';
import { EventRepository } from '../src/events/event.repository.js';
import type { Outcome } from '../src/events/event.repository.js';
import { orderFact, recipeFact } from '../src/events/fact.js';
import { BREAKER } from '../src/flow/flow.js';
import { Housekeeping } from '../src/housekeeping/housekeeping.js';
import {
  contentOf,
  decideVersion,
  endDeliveries,
  insertIntegration,
  insertVersion,
  readIntegration,
  updateIntegration,
} from '../src/integrations/integration.repository.js';
import type { IntegrationChange } from '../src/integrations/integration.repository.js';
import { NoticeRepository } from '../src/notices/notice.repository.js';
import { CleanUp } from '../src/offers/clean-up.js';
import { OfferPump } from '../src/offers/offer.pump.js';
import { OfferRepository } from '../src/offers/offer.repository.js';
import { SealedSettings } from '../src/offers/sealed-settings.js';
import { dispatcherDataSource } from '../src/schema/data-source.js';
import type { Policy } from '../src/tokens.js';
import { BulkRepository } from '../src/triggers/bulk.repository.js';
import { BulkRunner } from '../src/triggers/bulk.runner.js';
import { BulkService } from '../src/triggers/bulk.service.js';
import { TriggerRepository } from '../src/triggers/trigger.repository.js';
import { TriggerService } from '../src/triggers/trigger.service.js';

export const KEYS = `test:${Buffer.alloc(32, 7).toString('base64')}`;
export const TENANT = 'demo';
const FIRST_ACCEPTED = '2026-01-01T00:00:00.000Z';

export const ORDER_TOPICS: Readonly<Record<Exclude<Trigger, 'recipe.created'>, string>> = {
  'order.submitted': TOPIC.orderSubmitted,
  'order.updated': TOPIC.orderUpdated,
  'order.cancelled': TOPIC.orderCancelled,
};

export interface IntegrationInput {
  readonly tenant?: string;
  readonly destination?: DestinationKind;
  readonly successList?: string;
  readonly failureList?: string;
  readonly triggers?: readonly Trigger[];
  readonly channels?: readonly string[];
  readonly limits?: { readonly window: number; readonly perSecond: number | null };
  readonly include?: Partial<Record<'recipe' | 'ticket' | 'production' | 'preview' | 'attachment', boolean>>;
  readonly temporaryRecipes?: boolean;
  readonly activeFrom?: string;
}

/** The dispatcher's decisions on a real PostgreSQL, step by step: no Kafka, no timers. */
export class Bench {
  readonly events: EventRepository;
  readonly offers: OfferRepository;
  readonly reports: ReportRepository;
  readonly deliveries: DeliveryRepository;
  readonly housekeeping: Housekeeping;
  readonly triggers: TriggerService;
  readonly bulks: BulkService;
  readonly bulkRunner: BulkRunner;
  readonly cancelling: CancelService;
  readonly notices: NoticeRepository;
  readonly sealer = new SecretSealer(parseKeyring(KEYS));
  /** Most tests want to see what is ready before the pump takes it. */
  offersAtOnce = false;
  private readonly cleanUp: CleanUp;
  private offset = 0n;

  private constructor(
    readonly dataSource: DataSource,
    readonly policy: Policy,
    readonly logger: Logger,
    private readonly drop: () => Promise<void>,
  ) {
    const metrics = new DeliveryMetrics(new Registry(), dataSource);
    const settings = new SealedSettings(this.sealer);
    this.cleanUp = new CleanUp(settings, logger);
    this.offers = new OfferRepository(dataSource, policy, settings, metrics, logger);
    this.events = new EventRepository(dataSource, policy, this.cleanUp, {
      offerFirst: async (...args) =>
        this.offersAtOnce ? await this.offers.offerFirst(...args) : { rows: new Map(), save: async () => {} },
    });
    this.reports = new ReportRepository(dataSource, policy, this.cleanUp, metrics, logger);
    this.deliveries = new DeliveryRepository(dataSource);
    const pump = new OfferPump(
      this.offers,
      { nudge: () => undefined, nudgeAtLeisure: () => undefined },
      policy,
      logger,
    );
    const triggers = new TriggerRepository(policy, this.cleanUp);
    this.triggers = new TriggerService(dataSource, triggers, pump);
    const bulks = new BulkRepository(dataSource, triggers);
    this.bulks = new BulkService(dataSource, bulks);
    this.bulkRunner = new BulkRunner(bulks, pump, logger);
    this.cancelling = new CancelService(dataSource, this.deliveries, this.cleanUp, pump);
    this.notices = new NoticeRepository(dataSource, policy, logger);
    this.housekeeping = new Housekeeping(dataSource, policy, this.cleanUp, logger);
  }

  static async open(policy: Partial<Policy> = {}): Promise<Bench> {
    const server = process.env['TEST_DATABASE_URL'];
    if (server === undefined) throw new TypeError('TEST_DATABASE_URL is missing');
    const database = await createDatabase(server);
    const logger = createLogger({ service: 'dispatcher', level: 'error' });
    const dataSource = dispatcherDataSource({ DATABASE_URL: database.url, DATABASE_POOL_SIZE: 10 }, logger);
    await runMigrations(dataSource);
    await connectDataSource(dataSource, { logger });
    return new Bench(
      dataSource,
      {
        retry: { delaysMs: [0, 0] },
        breaker: BREAKER,
        recipeWaitMs: 60_000,
        silenceMs: 45_000,
        offerNotAfterMs: 172_800_000,
        pumpIntervalMs: 500,
        historyDays: 400,
        purgeIntervalMs: 3_600_000,
        testWaitMs: 1_000,
        notificationWindowMs: 60_000,
        ...policy,
      },
      logger,
      async () => {
        await dataSource.destroy();
        await database.drop();
      },
    );
  }

  async close(): Promise<void> {
    await this.drop();
  }

  async clear(): Promise<void> {
    await execute(
      this.dataSource,
      `TRUNCATE dispatcher.integrations, dispatcher.heads, dispatcher.handled_events, dispatcher.outbox,
                dispatcher.bulks, dispatcher.audit CASCADE`,
    );
  }

  async integration(input: IntegrationInput = {}): Promise<string> {
    const integrationId = newId();
    const tenant = input.tenant ?? TENANT;
    await inTransaction(this.dataSource, async (tx) => {
      await insertIntegration(
        tx,
        { integrationId, tenant, actor: 'key:test', places: {} },
        {
          destination: input.destination ?? 'sftp',
          description: 'hall 2',
          triggers: [...(input.triggers ?? (['order.submitted', 'order.updated'] as const))],
          channels: [...(input.channels ?? [])],
          'success-notification-list': input.successList ?? '',
          'failure-notification-list': input.failureList ?? '',
          settings: { host: 'sftp.example', port: 22, username: 'heddle', 'password-secret': 'hdl1.sealed' },
          limits: input.limits ?? { window: 8, perSecond: null },
          include: {
            recipe: true,
            ticket: true,
            production: true,
            preview: true,
            attachment: true,
            ...input.include,
          },
          'temporary-recipes': input.temporaryRecipes ?? true,
        },
      );
      await decideVersion(tx, integrationId, 1, 'approved', 'key:reviewer');
      await updateIntegration(tx, integrationId, { status: 'enabled', approvedVersion: 1, activates: true });
      await tx.query('UPDATE dispatcher.integrations SET active_from = $2 WHERE integration_id = $1', [
        integrationId,
        input.activeFrom ?? FIRST_ACCEPTED,
      ]);
    });
    return integrationId;
  }

  /** Approves a newer version: `targetVersion` is that version where it leads to another place. */
  async approve(integrationId: string, version: number, targetVersion: number): Promise<void> {
    await inTransaction(this.dataSource, async (tx) => {
      const row = await readIntegration(tx, TENANT, integrationId);
      if (!row) throw new TypeError('the integration is missing');
      const content = contentOf(row);
      await insertVersion(tx, integrationId, {
        version,
        targetVersion,
        places: row.places,
        status: 'approved',
        actor: 'key:reviewer',
        content,
      });
      await updateIntegration(tx, integrationId, { version, approvedVersion: version });
    });
  }

  /** As a dispatcher does it that does not know yet of places. */
  async approveAsBefore(integrationId: string, version: number): Promise<void> {
    await inTransaction(this.dataSource, async (tx) => {
      await tx.query(
        `UPDATE dispatcher.integration_versions SET status = 'superseded' WHERE integration_id = $1`,
        [integrationId],
      );
      await tx.query(
        `INSERT INTO dispatcher.integration_versions
           (integration_id, version, status, actor, decided_by, decided_at, description, triggers, channels, success_list,
            failure_list, settings, limits, include, temporary_recipes)
         SELECT integration_id, $2, 'approved', actor, decided_by, decided_at, description, triggers, channels, success_list,
                failure_list, settings, limits, include, temporary_recipes
         FROM dispatcher.integration_versions WHERE integration_id = $1 AND version = $2 - 1`,
        [integrationId, version],
      );
      await updateIntegration(tx, integrationId, { version, approvedVersion: version });
    });
  }

  /** As a dispatcher does it that does not know yet of versions of offers. */
  async offerAsBefore({ offerId }: DeliveryRequestedV1): Promise<void> {
    await execute(
      this.dataSource,
      `WITH found AS (DELETE FROM dispatcher.offers WHERE offer_id = $1 RETURNING *)
       INSERT INTO dispatcher.offers
         (offer_id, delivery_id, integration_id, attempt, not_after, finished_at, outcome, code, message)
       SELECT offer_id, delivery_id, integration_id, attempt, not_after, NULL, NULL, NULL, NULL FROM found`,
      [offerId],
    );
  }

  async change(integrationId: string, change: IntegrationChange): Promise<void> {
    await inTransaction(this.dataSource, async (tx) => {
      await updateIntegration(tx, integrationId, change);
      await endDeliveries(tx, this.cleanUp, { only: integrationId, limit: 1_000 });
    });
  }

  /** Consumes events of one order topic as one chunk. */
  async say(trigger: keyof typeof ORDER_TOPICS, ...orders: readonly OrderChangedV1[]): Promise<Outcome> {
    return await this.chunk(
      trigger,
      orders.map((order) => received(ORDER_TOPICS[trigger], order, order.tenant)),
    );
  }

  async chunk(
    trigger: keyof typeof ORDER_TOPICS,
    events: readonly ReceivedEvent<OrderChangedV1>[],
  ): Promise<Outcome> {
    const first = this.offset;
    this.offset += BigInt(events.length);
    return await this.events.apply(
      chunksOf(ORDER_TOPICS[trigger], first, this.offset),
      events.map((event, index) => ({
        ...orderFact(trigger, event),
        partition: 0,
        offset: String(first + BigInt(index)),
      })),
    );
  }

  async recipes(...recipes: readonly RecipeSavedV1[]): Promise<Outcome> {
    return await this.feed('recipe.created', recipes);
  }

  async updatedRecipes(...recipes: readonly RecipeSavedV1[]): Promise<Outcome> {
    return await this.feed('recipe.updated', recipes);
  }

  private async feed(
    event: 'recipe.created' | 'recipe.updated',
    recipes: readonly RecipeSavedV1[],
  ): Promise<Outcome> {
    const topic = event === 'recipe.updated' ? TOPIC.recipeUpdated : TOPIC.recipeCreated;
    const first = this.offset;
    this.offset += BigInt(recipes.length);
    return await this.events.apply(
      chunksOf(topic, first, this.offset),
      recipes.map((recipe, index) => ({
        ...recipeFact(event, received(topic, recipe, recipe.tenant)),
        partition: 0,
        offset: String(first + BigInt(index)),
      })),
    );
  }

  /** One pass of the pump; what it offered, oldest first. */
  async pump(): Promise<readonly DeliveryRequestedV1[]> {
    await this.offers.wakeDue();
    await this.offers.offer();
    return await this.takeOffers();
  }

  async takeOffers(): Promise<readonly DeliveryRequestedV1[]> {
    const rows = await query<{ id: string; data: string }>(
      this.dataSource,
      `DELETE FROM dispatcher.outbox WHERE topic LIKE 'delivery.requested.%' RETURNING id, data`,
    );
    return rows
      .toSorted((a, b) => Number(a.id) - Number(b.id))
      .map(({ data }) => JSON.parse(data) as DeliveryRequestedV1);
  }

  async takeFinished(): Promise<readonly (DeliveryFinishedV1 & { readonly topic: string })[]> {
    const rows = await query<{ id: string; topic: string; data: string }>(
      this.dataSource,
      `DELETE FROM dispatcher.outbox WHERE topic IN ('delivery.succeeded', 'delivery.failed') RETURNING id, topic, data`,
    );
    return rows
      .toSorted((a, b) => Number(a.id) - Number(b.id))
      .map(({ topic, data }) => ({ topic, ...DeliveryFinishedV1.parse(JSON.parse(data)) }));
  }

  async report(...reports: readonly DeliveryAttemptedV1[]): Promise<boolean> {
    const first = this.offset;
    this.offset += BigInt(reports.length);
    return await this.reports.apply({
      topic: TOPIC.deliveryAttempted,
      chunks: chunksOf(TOPIC.deliveryAttempted, first, this.offset),
      events: reports.map((report, index) => ({
        ...received(TOPIC.deliveryAttempted, DeliveryAttemptedV1.parse(report), report.tenant),
        offset: String(first + BigInt(index)),
      })),
    });
  }

  /** Offers and answers until nothing is left; what went out, in order. */
  async drain(): Promise<readonly DeliveryRequestedV1[]> {
    const sent: DeliveryRequestedV1[] = [];
    for (;;) {
      const offers = await this.pump();
      if (offers.length === 0) return sent;
      sent.push(...offers);
      await this.report(...offers.map((offer) => done(offer)));
    }
  }

  async states(): Promise<
    readonly { trigger: Trigger; version: number; state: DeliveryState; reason: string | null }[]
  > {
    return await query(
      this.dataSource,
      'SELECT trigger, version, state, reason FROM dispatcher.deliveries ORDER BY delivery_id',
    );
  }

  /** Moves the clock of everything that was offered, started or heard of. */
  async age(offerId: string, seconds: number): Promise<void> {
    await execute(
      this.dataSource,
      `UPDATE dispatcher.offers SET offered_at = offered_at - make_interval(secs => $2),
         started_at = started_at - make_interval(secs => $2), heard_at = heard_at - make_interval(secs => $2)
       WHERE offer_id = $1`,
      [offerId, seconds],
    );
  }
}

/** A bench for a whole suite, empty before each of its tests. */
export function suiteBench(use: (bench: Bench) => void, policy: Partial<Policy> = {}): void {
  let bench: Bench | undefined;
  beforeAll(async () => {
    bench = await Bench.open(policy);
    use(bench);
  });
  afterAll(() => bench?.close());
  beforeEach(() => bench?.clear());
}

function chunksOf(topic: string, first: bigint, next: bigint): readonly PartitionChunk[] {
  return [{ topic, partition: 0, firstOffset: String(first), nextOffset: String(next), cluster: 'test' }];
}

export function received<T>(topic: string, data: T, tenant: string): ReceivedEvent<T> {
  return {
    topic,
    partition: 0,
    offset: '0',
    key: 'key',
    id: newId(),
    type: `heddle.${topic}.v1`,
    source: '/test',
    time: new Date().toISOString(),
    tenant,
    traceparent: newTraceparent(),
    data,
    headers: {},
  };
}

export interface OrderInput extends Partial<Omit<OrderChangedV1, 'items'>> {
  readonly recipes?: readonly string[];
  readonly waiting?: readonly string[];
}

/** An order whose recipes carry their version in the address of each file, so that content can be told. */
export function order(input: OrderInput = {}): OrderChangedV1 {
  const { recipes = ['DRIVE-001'], waiting = [], ...rest } = input;
  const version = rest.version ?? 1;
  return {
    orderUid: '0195f0c2-0000-7000-8000-000000000001',
    tenant: TENANT,
    channel: 'default',
    orderNumber: '1022',
    orderId: '6182665224482',
    status: 'open',
    version,
    reason: 'submitted',
    cancelReason: null,
    acceptedAt: FIRST_ACCEPTED,
    updatedAt: FIRST_ACCEPTED,
    items: [
      ...recipes.map((recipeId, index) => ({
        itemId: `i${String(index)}`,
        recipeId,
        itemQuantity: 1,
        recipe: { state: 'linked' as const, version, files: recipeFiles(recipeId, version) },
      })),
      ...waiting.map((recipeId, index) => ({
        itemId: `w${String(index)}`,
        recipeId,
        itemQuantity: 1,
        recipe: { state: 'waiting' as const, version: null, files: [] },
      })),
    ],
    ...rest,
  };
}

export function recipe(recipeId: string, input: Partial<RecipeSavedV1> = {}): RecipeSavedV1 {
  return {
    tenant: TENANT,
    channel: 'default',
    recipeId,
    version: 1,
    temporary: false,
    name: 'Team Cap',
    styleCode: 'CAP-01',
    files: recipeFiles(recipeId, 1),
    acceptedAt: FIRST_ACCEPTED,
    updatedAt: FIRST_ACCEPTED,
    ...input,
  };
}

function recipeFiles(recipeId: string, version: number): RecipeSavedV1['files'] {
  return [
    {
      name: 'Recipe.json',
      kind: 'recipe',
      mimeType: 'application/json',
      url: `https://hub.example/recipe/${recipeId}.json`,
      sizeBytes: 2,
      sha256: 'a'.repeat(64),
    },
    {
      name: 'Production-Front.dst',
      kind: 'production',
      mimeType: 'application/octet-stream',
      url: `https://files.example/${recipeId}/v${String(version)}/Front.dst`,
      sizeBytes: null,
      sha256: null,
    },
  ];
}

const worker = randomUUID();

function about(
  offer: DeliveryRequestedV1,
): Omit<Extract<DeliveryAttemptedV1, { phase: 'started' }>, 'phase'> {
  const { deliveryId, offerId, tenant, integrationId, attempt } = offer;
  return {
    deliveryId,
    offerId,
    tenant,
    integrationId,
    attempt,
    workerId: worker,
    at: new Date().toISOString(),
  };
}

export function started(offer: DeliveryRequestedV1): DeliveryAttemptedV1 {
  return { phase: 'started', ...about(offer) };
}

export function progress(offer: DeliveryRequestedV1, names: readonly string[] = []): DeliveryAttemptedV1 {
  return { phase: 'progress', ...about(offer), receipts: names.map(receiptOf) };
}

type Finished = Extract<DeliveryAttemptedV1, { phase: 'finished' }>;

export function done(offer: DeliveryRequestedV1, change: Partial<Finished> = {}): Finished {
  return {
    phase: 'finished',
    ...about(offer),
    outcome: 'succeeded',
    code: null,
    message: null,
    retryAfterMs: null,
    receipts: offer.files.map(({ name }) => receiptOf(name)),
    faults: [],
    startedAt: new Date().toISOString(),
    durationMs: 12,
    sizeBytes: 34,
    ...change,
  };
}

export function failed(
  offer: DeliveryRequestedV1,
  code: Finished['code'],
  change: Partial<Finished> = {},
): DeliveryAttemptedV1 {
  return done(offer, { outcome: 'failed', code, message: 'writing: refused', receipts: [], ...change });
}

export function receiptOf(name: string): Finished['receipts'][number] {
  return {
    name,
    location: `sftp://sftp.example/in/${name}`,
    sizeBytes: 17,
    sha256: 'b'.repeat(64),
    details: {},
  };
}

/** The version of an order that an offer carries, read off its files. */
export function contentVersion(offer: DeliveryRequestedV1): number | undefined {
  for (const { source } of offer.files) {
    if (source.kind === 'inline') return (JSON.parse(source.text) as OrderChangedV1).version;
    if (source.kind === 'url') return Number(/\/v(\d+)\//.exec(source.url)?.[1]);
  }
  return undefined;
}
