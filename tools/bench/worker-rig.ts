import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';

import {
  DELIVERY_REQUESTED,
  DeliveryAttemptedV1,
  TOPIC,
  deliveryRequestedTopic,
  topicCatalogue,
} from '@heddle/contracts';
import type { DeliveryRequestedV1, DestinationKind, OfferedFile } from '@heddle/contracts';
import { KafkaPublisher, createTopics, followTopics } from '@heddle/messaging';
import type { KafkaOptions, TopicFollower } from '@heddle/messaging';
import { createLogger, newId } from '@heddle/platform';
import { SecretSealer, parseKeyring } from '@heddle/secrets';
import { spawnService, temporaryFolder, workspaceRoot } from '@heddle/testing';
import type { SpawnedService } from '@heddle/testing';
import { Registry } from 'prom-client';

const TENANT = 'bench';
const PUBLISH_MS = 30_000;

export interface WorkerRigOptions {
  readonly kind: DestinationKind;
  readonly kafkaBrokers: string;
  /** Ports of this machine where the worker may go. */
  readonly ports: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string>>;
  /** Settings that are secrets. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** One real worker process on a real Kafka; this process plays the dispatcher, without its database. */
export class WorkerRig {
  private readonly waiting = new Map<string, (report: Finished) => void>();
  /** By integration: as the dispatcher does, which seals a version once. */
  private readonly sealed = new Map<string, string>();

  private constructor(
    private readonly options: WorkerRigOptions,
    private readonly sealer: SecretSealer,
    private readonly publisher: KafkaPublisher,
    readonly worker: SpawnedService,
  ) {}

  private follower: TopicFollower | undefined;

  static async start(options: WorkerRigOptions): Promise<WorkerRig> {
    const { kind, kafkaBrokers, ports, env } = options;
    const logger = createLogger({ service: 'bench', level: 'error' });
    const topicPrefix = `${kind}.`;
    const kafka: KafkaOptions = { brokers: kafkaBrokers.split(','), clientId: 'bench', topicPrefix };
    await createTopics(topicCatalogue, { kafka, logger, partitions: 4 });
    const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
    await publisher.connect();
    const keyring = `bench:${randomBytes(32).toString('base64')}`;
    const worker = await spawnService({
      name: `outbound-${kind}`,
      entry: join(workspaceRoot(), `dist/apps/outbound-${kind}/main.js`),
      env: {
        KAFKA_BROKERS: kafkaBrokers,
        KAFKA_TOPIC_PREFIX: topicPrefix,
        SECRETS_KEY: keyring,
        SERVICE_TOKEN_KEYS: keyring,
        PUBLIC_URL: 'https://hub.example',
        STORE_URL: 'http://127.0.0.1:1',
        OUTBOUND_ALLOWED_ADDRESSES: ports.map((port) => `127.0.0.1/32:${String(port)}`).join(','),
        SPOOL_DIR: await temporaryFolder('spool'),
        // As the topology starts it.
        NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=128',
        ...env,
      },
    });
    const rig = new WorkerRig(options, new SecretSealer(parseKeyring(keyring)), publisher, worker);
    rig.follower = await followTopics({
      kafka,
      logger,
      topics: [TOPIC.deliveryAttempted],
      fromBeginning: true,
      onMessage: ({ value }) => {
        const text = Buffer.from(value).toString();
        // What the load costs is taken from the worker, on a machine of two cores: only what is waited for is read.
        if (!text.includes('"phase":"finished"')) return;
        const report = DeliveryAttemptedV1.parse(JSON.parse(text));
        if (report.phase !== 'finished') return;
        rig.waiting.get(report.offerId)?.(report);
        rig.waiting.delete(report.offerId);
      },
    });
    return rig;
  }

  /** Offers one delivery and resolves when its outcome is known; rejects unless it succeeded. */
  async deliver(integrationId: string, lane: string, files: readonly OfferedFile[]): Promise<void> {
    const offer = this.offerOf(integrationId, lane, files);
    const finished = new Promise<Finished>((resolve) => this.waiting.set(offer.offerId, resolve));
    const [result] = await this.publisher.publish(
      [
        {
          topic: deliveryRequestedTopic(this.options.kind),
          key: `${TENANT}:${integrationId}:${lane}`,
          id: newId(),
          type: DELIVERY_REQUESTED,
          source: '/bench',
          time: new Date().toISOString(),
          tenant: TENANT,
          data: JSON.stringify(offer),
        },
      ],
      { deadlineMs: PUBLISH_MS },
    );
    if (result?.ok !== true) throw new Error('an offer was not acknowledged');
    const { outcome, code, message } = await finished;
    if (outcome !== 'succeeded')
      throw new Error(`a delivery ${outcome}: ${String(code)}, ${String(message)}`);
  }

  async close(): Promise<void> {
    await this.follower?.close();
    await this.worker.kill();
    await this.publisher.close();
  }

  private offerOf(integrationId: string, lane: string, files: readonly OfferedFile[]): DeliveryRequestedV1 {
    const sealedSettings = this.sealed.get(integrationId) ?? this.seal(integrationId);
    this.sealed.set(integrationId, sealedSettings);
    return {
      deliveryId: randomUUID(),
      offerId: randomUUID(),
      notAfter: new Date(Date.now() + 3_600_000).toISOString(),
      tenant: TENANT,
      channel: 'default',
      integrationId,
      integrationVersion: 1,
      trigger: 'order.submitted',
      attempt: 1,
      order: { orderUid: randomUUID(), orderNumber: lane, orderId: null, version: 1 },
      recipeIds: ['BENCH-1'],
      sealedSettings,
      files: [...files],
      earlierOfferIds: [],
      acceptedAt: new Date().toISOString(),
    };
  }

  private seal(integrationId: string): string {
    const { settings, secrets } = this.options;
    const place = { tenant: TENANT, integrationId };
    const sealed = Object.fromEntries(
      Object.entries(secrets).map(([field, text]) => [field, this.sealer.seal(text, { ...place, field })]),
    );
    return this.sealer.seal(JSON.stringify({ ...settings, ...sealed }), { ...place, field: 'settings' });
  }
}

type Finished = Extract<DeliveryAttemptedV1, { phase: 'finished' }>;

/** A file of somebody else's server. */
export function linkedFile(name: string, url: string): OfferedFile {
  return { name, kind: 'production', mimeType: 'application/octet-stream', source: { kind: 'url', url } };
}
