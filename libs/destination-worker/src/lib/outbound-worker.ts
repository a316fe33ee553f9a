import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { deliveryRequestedTopic, topicCatalogue } from '@heddle/contracts';
import type { DestinationKind } from '@heddle/contracts';
import { AddressGuard, ownOrigins } from '@heddle/destination-kit';
import type { Destination } from '@heddle/destination-kit';
import { KafkaPublisher, KafkaServer, kafkaOptions } from '@heddle/messaging';
import type { BatchResult, EventBatch } from '@heddle/messaging';
import { runService } from '@heddle/platform';
import type { Platform, RunningService } from '@heddle/platform';
import { FileLinks, SecretSealer } from '@heddle/secrets';
import { Gauge } from 'prom-client';
import type { z } from 'zod';

import { DestinationWorker } from './destination-worker.js';
import { ServiceTokenSigner } from './hub-tokens.js';
import { linkFile } from './link-file.js';
import { SourceFetcher } from './source-fetcher.js';
import { Spool } from './spool.js';
import type { WorkerConfig } from './worker-config.js';

/** What a destination may need of its surroundings. */
export interface DestinationDeps extends Platform {
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

export interface OutboundWorkerOptions<TSettings> {
  readonly service: string;
  readonly config: WorkerConfig;
  readonly kind: DestinationKind;
  readonly settings: z.ZodType<TSettings>;
  readonly destination: (deps: DestinationDeps) => Destination<TSettings>;
  readonly handleSignals?: boolean;
}

/** Left of the shutdown for the last reports and for closing connections. */
const CLOSING_MS = 3_500;

/** Runs one outbound app: everything but the destination is the same for all of them. */
export async function runOutboundWorker<TSettings>(
  options: OutboundWorkerOptions<TSettings>,
): Promise<RunningService> {
  const { service, config, kind } = options;
  const topic = deliveryRequestedTopic(kind);
  const kafka = kafkaOptions(config, service);
  let parts: WorkerParts | undefined;

  const running = await runService({
    service,
    config,
    ...(options.handleSignals !== undefined && { handleSignals: options.handleSignals }),
    module: (platform) => {
      parts = assemble(options, platform, new KafkaPublisher({ kafka, ...platform }));
      return OutboundModule.of(topic, parts, Math.max(500, config.SHUTDOWN_TIMEOUT_MS - CLOSING_MS));
    },
    strategies: () => {
      if (!parts) throw new Error(`starting ${service}: its module is missing`);
      const { worker, platform } = parts;
      const server = new KafkaServer({
        kafka,
        groupId: service,
        catalogue: topicCatalogue,
        // A worker keeps nothing that could refuse a message: what fails, fails for all of them.
        faultOf: () => 'transient',
        ...platform,
      });
      worker.start(() => server.resume(topic));
      return [server];
    },
  });
  return running;
}

interface WorkerParts {
  readonly platform: Platform;
  readonly worker: DestinationWorker<unknown>;
  readonly publisher: KafkaPublisher;
  readonly spool: Spool;
  readonly fetcher: SourceFetcher;
  readonly destination: Destination<never>;
}

function assemble<TSettings>(
  options: OutboundWorkerOptions<TSettings>,
  platform: Platform,
  publisher: KafkaPublisher,
): WorkerParts {
  const { config, service } = options;
  const { CONNECT_TIMEOUT_MS: connectTimeoutMs, SILENCE_TIMEOUT_MS: silenceTimeoutMs } = config;
  const guard = new AddressGuard({
    allowed: config.OUTBOUND_ALLOWED_ADDRESSES,
    ownOrigins: ownOrigins(config),
  });
  const spool = new Spool({ directory: config.SPOOL_DIR, maxBytes: config.SPOOL_MAX_BYTES });
  const fetcher = new SourceFetcher({
    spool,
    guard,
    storeUrl: config.STORE_URL,
    hubTokens: new ServiceTokenSigner(config.SERVICE_TOKEN_KEYS[0], service),
    maxFileBytes: config.MAX_FILE_BYTES,
    connectTimeoutMs,
    silenceTimeoutMs,
  });
  const destination = options.destination({ ...platform, guard, connectTimeoutMs, silenceTimeoutMs });
  const worker = new DestinationWorker<TSettings>({
    service,
    destination,
    settings: options.settings,
    sealer: new SecretSealer(config.SECRETS_KEY),
    publisher,
    check: (file, signal) => fetcher.check(file, signal),
    fetch: (file, tenant, signal, room) => fetcher.fetch(file, tenant, signal, room),
    reserveTogether: (bytes, signal) => spool.reserveTogether(bytes, signal),
    link: linkFile(new FileLinks(config.SERVICE_TOKEN_KEYS), config.PUBLIC_URL),
    logger: platform.logger,
    metrics: platform.metrics,
    pool: config.ATTEMPT_POOL,
    attemptTimeoutMs: config.ATTEMPT_TIMEOUT_MS,
    progressIntervalMs: config.PROGRESS_INTERVAL_MS,
    leaseMs: config.LEASE_MS,
  });
  new Gauge({
    name: 'heddle_spool_bytes',
    help: 'Bytes of fetched files that are not sent yet.',
    registers: [platform.metrics],
    collect() {
      this.set(spool.usedBytes);
    },
  });
  platform.health.addReadiness('kafka', () => (publisher.isConnected ? undefined : 'Kafka does not answer'));
  return { platform, worker: worker, publisher, spool, fetcher, destination };
}

const PARTS = Symbol('WorkerParts');
const DRAIN_MS = Symbol('DrainMs');

@Injectable()
class WorkerLife implements BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(
    @Inject(PARTS) private readonly parts: WorkerParts,
    @Inject(DRAIN_MS) private readonly drainMs: number,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.parts.spool.start();
    // Kafka may come later than this service; readiness says so meanwhile.
    void this.parts.publisher.connect();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.parts.worker.drain(this.drainMs);
  }

  async onApplicationShutdown(): Promise<void> {
    this.parts.fetcher.close();
    await Promise.all([this.parts.destination.close(), this.parts.publisher.close()]);
  }
}

@Module({})
class OutboundModule {
  static of(topic: OfferTopic, parts: WorkerParts, drainMs: number): DynamicModule {
    return {
      module: OutboundModule,
      controllers: [offerConsumer(topic)],
      providers: [{ provide: PARTS, useValue: parts }, { provide: DRAIN_MS, useValue: drainMs }, WorkerLife],
    };
  }
}

type OfferTopic = ReturnType<typeof deliveryRequestedTopic>;

function offerConsumer(topic: OfferTopic): new (parts: WorkerParts) => object {
  @Controller()
  class OfferConsumer {
    constructor(@Inject(PARTS) private readonly parts: WorkerParts) {}

    @EventPattern(topic)
    take(@Payload() batch: EventBatch): Promise<BatchResult> {
      return this.parts.worker.take(batch);
    }
  }
  return OfferConsumer;
}
