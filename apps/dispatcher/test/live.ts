import { Registry } from 'prom-client';

import { ServiceTokens } from '@heddle/access';
import {
  DELIVERY_ATTEMPTED,
  DeliveryRequestedV1,
  TOPIC,
  deliveryRequestedTopic,
  orderKey,
  topicCatalogue,
} from '@heddle/contracts';
import type { DeliveryAttemptedV1, OrderChangedV1, Permission } from '@heddle/contracts';
import { KafkaPublisher, createTopics, followTopics } from '@heddle/messaging';
import type { FollowedMessage, KafkaOptions, TopicFollower } from '@heddle/messaging';
import { runMigrations } from '@heddle/persistence';
import { createLogger, loadConfig, newId, newTraceparent } from '@heddle/platform';
import type { RunningService } from '@heddle/platform';
import { parseKeyring } from '@heddle/secrets';
import { createDatabase, eventually, uniqueTopicPrefix } from '@heddle/testing';

import { Config } from '../src/config.js';
import { startDispatcher } from '../src/dispatcher.js';
import { dispatcherDataSource } from '../src/schema/data-source.js';

import { KEYS, ORDER_TOPICS, done, started } from './harness.js';

const logger = createLogger({ service: 'test', level: 'error' });

/** What tests look at in an answer; each call has some of it. */
interface AnswerBody {
  readonly integrationId: string;
  readonly version: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly items: readonly Readonly<Record<string, unknown>>[];
  readonly nextCursor: string | null;
  readonly errors: readonly { readonly pointer: string; readonly code: string }[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AnswerBody;
}

/** Reports to publish for an offer, in order. */
export type Work = (offer: DeliveryRequestedV1) => readonly DeliveryAttemptedV1[];

/** A dispatcher as it runs, on a Kafka and a PostgreSQL of its own, with a worker that a test scripts. */
export class LiveDispatcher {
  readonly offers: DeliveryRequestedV1[] = [];
  readonly finished: {
    readonly topic: string;
    readonly data: unknown;
    readonly headers: FollowedMessage['headers'];
  }[] = [];
  readonly traces: { readonly topic: string; readonly traceparent: string }[] = [];
  work: Work = (offer) => [started(offer), done(offer)];
  services: RunningService[] = [];
  private readonly tokens = new ServiceTokens(parseKeyring(KEYS));

  private constructor(
    readonly environment: Readonly<Record<string, string>>,
    private readonly publisher: KafkaPublisher,
    private readonly drop: () => Promise<void>,
  ) {}

  static async start(environment: Readonly<Record<string, string>> = {}): Promise<LiveDispatcher> {
    const { TEST_DATABASE_URL: server, TEST_KAFKA_BROKERS: brokers } = process.env;
    if (server === undefined || brokers === undefined) throw new TypeError('the test servers are missing');
    const database = await createDatabase(server);
    const prefix = uniqueTopicPrefix();
    const kafka: KafkaOptions = { brokers: brokers.split(','), clientId: 'test', topicPrefix: prefix };
    await Promise.all([
      createTopics(topicCatalogue, { kafka, logger, partitions: 3 }),
      runMigrations(dispatcherDataSource({ DATABASE_URL: database.url, DATABASE_POOL_SIZE: 2 })),
    ]);
    const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
    await publisher.connect();
    const live = new LiveDispatcher(
      {
        KAFKA_BROKERS: brokers,
        KAFKA_TOPIC_PREFIX: prefix,
        DATABASE_URL: database.url,
        DATABASE_POOL_SIZE: '6',
        SECRETS_KEY: KEYS,
        SERVICE_TOKEN_KEYS: KEYS,
        RETRY_DELAYS_MS: '50,50',
        PUMP_INTERVAL_MS: '100',
        OUTBOUND_ALLOWED_ADDRESSES: '127.0.0.1/32:2222',
        LOG_LEVEL: 'error',
        ...environment,
      },
      publisher,
      () => database.drop(),
    );
    await live.add();
    // Behind the dispatcher's own: the first group of a new broker waits for its coordinator, and a follower gives up.
    const follower = await live.follow(kafka);
    live.closers.push(() => follower.close());
    return live;
  }

  private readonly closers: (() => Promise<void>)[] = [];

  /** One more dispatcher process, as far as anybody outside can tell. */
  async add(): Promise<RunningService> {
    const service = await startDispatcher({
      config: loadConfig(Config, this.environment),
      handleSignals: false,
    });
    this.services.push(service);
    await eventually(
      () => {
        const report = service.platform.health.ready();
        if (report.status !== 'ok') throw new Error(JSON.stringify(report.failing));
      },
      { withinMs: 30_000 },
    );
    return service;
  }

  async stop(): Promise<void> {
    await Promise.all(this.services.map((service) => service.stop()));
    await Promise.all(this.closers.map((close) => close()));
    await this.publisher.close();
    await this.drop();
  }

  async say(
    trigger: keyof typeof ORDER_TOPICS,
    order: OrderChangedV1,
    id: string = newId(),
  ): Promise<string> {
    return await this.publish(
      ORDER_TOPICS[trigger],
      `heddle.${trigger}.v1`,
      orderKey(order.tenant, order.orderNumber),
      {
        id,
        tenant: order.tenant,
        data: JSON.stringify(order),
      },
    );
  }

  async report(...reports: readonly DeliveryAttemptedV1[]): Promise<void> {
    for (const report of reports) {
      await this.publish(TOPIC.deliveryAttempted, DELIVERY_ATTEMPTED, `lane:${report.deliveryId}`, {
        id: newId(),
        tenant: report.tenant,
        data: JSON.stringify(report),
      });
    }
  }

  async publish(
    topic: string,
    type: string,
    key: string,
    event: { readonly id: string; readonly tenant: string; readonly data: string },
  ): Promise<string> {
    const traceparent = newTraceparent();
    await this.publisher.publishAll(
      [{ topic, key, type, source: '/test', time: new Date().toISOString(), traceparent, ...event }],
      { deadlineMs: 10_000 },
    );
    return traceparent;
  }

  async call(
    method: string,
    path: string,
    options: {
      readonly body?: unknown;
      readonly tenant?: string;
      readonly permissions?: readonly Permission[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly actor?: string;
      readonly channel?: string;
    } = {},
  ): Promise<Answer> {
    const token = await this.token(options);
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: JSON.parse(text === '' ? '{}' : text) as AnswerBody,
    };
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.services[0]?.port)}`;
  }

  async token(
    caller: {
      readonly tenant?: string;
      readonly permissions?: readonly Permission[];
      readonly actor?: string;
      readonly channel?: string;
    } = {},
  ): Promise<string> {
    const { tenant = 'demo', permissions = ['admin'], actor = 'key:one', channel } = caller;
    return await this.tokens.sign({ tenant, permissions, actor, channel });
  }

  /** Created and approved; what was accepted from then on counts. */
  async integration(change: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const created = await this.call('POST', '/api/v2/integrations', { body: integrationInput(change) });
    if (created.status !== 201) throw new Error(JSON.stringify(created.body));
    const { integrationId } = created.body;
    const approved = await this.call('POST', `/api/v2/integrations/${integrationId}/approve`, {
      body: { version: 1 },
    });
    if (approved.status !== 200) throw new Error(JSON.stringify(approved.body));
    return integrationId;
  }

  private async follow(kafka: KafkaOptions): Promise<TopicFollower> {
    const requested = deliveryRequestedTopic('sftp');
    return await followTopics({
      kafka,
      logger,
      topics: [requested, TOPIC.deliverySucceeded, TOPIC.deliveryFailed],
      fromBeginning: true,
      onMessage: ({ topic, value, headers }) => {
        const data: unknown = JSON.parse(Buffer.from(value).toString());
        this.traces.push({ topic, traceparent: headers['traceparent'] ?? '' });
        if (topic !== requested) {
          this.finished.push({ topic, data, headers });
          return;
        }
        const offer = DeliveryRequestedV1.parse(data);
        if (Date.parse(offer.notAfter) < Date.now()) {
          void this.report(done(offer, { outcome: 'expired', receipts: [], startedAt: null }));
          return;
        }
        this.offers.push(offer);
        void this.report(...this.work(offer));
      },
    });
  }
}

export const HOST_KEY = `SHA256:${'A'.repeat(43)}`;

export function integrationInput(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    destination: 'sftp',
    description: 'Embroidery hall 2',
    settings: {
      host: '127.0.0.1',
      port: 2222,
      username: 'heddle',
      'password-secret': 's3cret-password',
      'host-key-sha256': HOST_KEY,
      directory: '/in/{channel}',
    },
    ...change,
  };
}
