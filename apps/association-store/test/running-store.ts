import { ServiceTokens } from '@heddle/access';
import {
  ASSOCIATION_RECEIVED,
  CANCELLATION_RECEIVED,
  OrderChangedV1,
  RECIPE_RECEIVED,
  TOPIC,
  orderKey,
  recipeKey,
  topicCatalogue,
} from '@heddle/contracts';
import type { Permission } from '@heddle/contracts';
import { KafkaPublisher, createTopics, readTopic } from '@heddle/messaging';
import type { IncomingMessage, KafkaOptions } from '@heddle/messaging';
import { loadConfig, newId, newTraceparent } from '@heddle/platform';
import type { RunningService } from '@heddle/platform';
import { temporaryFolder, uniqueTopicPrefix } from '@heddle/testing';
import { Registry } from 'prom-client';

import { Config } from '../src/config.js';
import { startStore } from '../src/store.js';

import { ACCEPTED_AT, quiet } from './support.js';
import { buildTicketThread } from './ticket-thread.js';

const common = { tenant: 'demo', channel: 'default', acceptedAt: ACCEPTED_AT, requestId: 'r' };

/** What `fetch` sends. */
export type Body = NonNullable<RequestInit['body']>;

/** The whole store in this process, on real Kafka and PostgreSQL, with topics of its own. */
export class RunningStore {
  static async start(databaseUrl: string, env: Readonly<Record<string, string>> = {}): Promise<RunningStore> {
    const { TEST_KAFKA_BROKERS = '' } = process.env;
    const kafka = {
      brokers: TEST_KAFKA_BROKERS.split(','),
      clientId: 'test',
      topicPrefix: uniqueTopicPrefix(),
    };
    const config = loadConfig(Config, {
      KAFKA_BROKERS: TEST_KAFKA_BROKERS,
      KAFKA_TOPIC_PREFIX: kafka.topicPrefix,
      DATABASE_URL: databaseUrl,
      SERVICE_TOKEN_KEYS: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
      PUBLIC_URL: 'https://hub.example',
      FILES_DIR: await temporaryFolder('uploads'),
      ...env,
    });
    await createTopics(topicCatalogue, { kafka, logger: quiet, partitions: 2 });
    const publisher = new KafkaPublisher({ kafka, logger: quiet, metrics: new Registry() });
    await publisher.connect();
    const service = await startStore({
      config,
      logger: quiet,
      handleSignals: false,
      ticketThread: await buildTicketThread(),
    });
    return new RunningStore(config, kafka, publisher, service, new ServiceTokens(config.SERVICE_TOKEN_KEYS));
  }

  readonly traceparent = newTraceparent();

  private constructor(
    readonly config: Config,
    private readonly kafka: KafkaOptions,
    private readonly publisher: KafkaPublisher,
    private readonly service: RunningService,
    private readonly tokens: ServiceTokens,
  ) {}

  /** What keeps it from being ready. */
  get failing(): Readonly<Record<string, string>> {
    return this.service.platform.health.ready().failing;
  }

  async stop(): Promise<void> {
    await this.service.stop();
    await this.publisher.close();
  }

  async associate(
    orderNumber: string,
    items: readonly (readonly [itemId: string, recipeId: string, itemQuantity: number])[],
  ): Promise<void> {
    await this.publish(TOPIC.orderReceived, ASSOCIATION_RECEIVED, orderKey('demo', orderNumber), {
      ...common,
      orderNumber,
      associations: items.map(([itemId, recipeId, itemQuantity]) => ({ itemId, recipeId, itemQuantity })),
    });
  }

  async cancel(orderNumber: string): Promise<void> {
    await this.publish(TOPIC.orderReceived, CANCELLATION_RECEIVED, orderKey('demo', orderNumber), {
      ...common,
      orderNumber,
    });
  }

  async save(recipeId: string, document: string): Promise<void> {
    await this.publish(TOPIC.recipeReceived, RECIPE_RECEIVED, recipeKey('demo', recipeId), {
      ...common,
      recipeId,
      document,
      temporary: false,
    });
  }

  async messages(topic: string): Promise<readonly IncomingMessage[]> {
    return await readTopic(topic, { kafka: this.kafka, logger: quiet });
  }

  async ordersOn(topic: string, orderNumber?: string): Promise<OrderChangedV1[]> {
    return (await this.messages(topic))
      .map(({ value }) => OrderChangedV1.parse(JSON.parse(Buffer.from(value).toString())))
      .filter((order) => orderNumber === undefined || order.orderNumber === orderNumber);
  }

  async get(
    path: string,
    options: { tenant?: string; permissions?: Permission[]; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { tenant = 'demo', permissions = ['orders:read', 'recipes:read'], headers = {} } = options;
    const token = await this.tokens.sign({ tenant, permissions, actor: 'key:test', channel: undefined });
    return await this.getBare(path, { authorization: `Bearer ${token}`, ...headers });
  }

  /** As the gateway calls it. */
  async call(
    method: string,
    path: string,
    init: {
      tenant?: string;
      permissions?: Permission[];
      headers?: Record<string, string>;
      body?: Body;
    } = {},
  ): Promise<Response> {
    const { tenant = 'demo', permissions = ['recipes:write', 'recipes:read'], headers = {}, body } = init;
    const token = await this.tokens.sign({ tenant, permissions, actor: 'key:test', channel: undefined });
    return await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { body, duplex: 'half' }),
    });
  }

  async token(permissions: Permission[] = ['recipes:write', 'recipes:read']): Promise<string> {
    return await this.tokens.sign({ tenant: 'demo', permissions, actor: 'key:test', channel: undefined });
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.service.port)}`;
  }

  async getBare(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return await fetch(`http://127.0.0.1:${String(this.service.port)}${path}`, { headers });
  }

  private async publish(topic: string, type: string, key: string, data: object): Promise<void> {
    const { traceparent } = this;
    const event = {
      topic,
      type,
      key,
      data: JSON.stringify(data),
      id: newId(),
      source: '/test',
      time: ACCEPTED_AT,
      tenant: 'demo',
      traceparent,
    };
    await this.publisher.publishAll([event], { deadlineMs: 10_000 });
  }
}
