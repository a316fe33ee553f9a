import 'reflect-metadata';

import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { KafkaPublisher, KafkaServer, createTopics } from '../src/index.js';
import type {
  BatchResult,
  EventBatch,
  Fault,
  KafkaOptions,
  KafkaServerOptions,
  OutgoingEvent,
  TopicContract,
} from '../src/index.js';
import { Health, connectStrategy, newId } from '@heddle/platform';
import { uniqueTopicPrefix } from '@heddle/testing';
import { Kafka, logLevel } from 'kafkajs';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { z } from 'zod';

export const TOPIC = 'thing.said';
export const TYPE = 'heddle.thing.said.v1';

export const catalogue: readonly TopicContract[] = [
  {
    name: TOPIC,
    partitions: 4,
    retentionMs: 3_600_000,
    types: new Map([[TYPE, z.object({ n: z.int(), text: z.string().optional() })]]),
  },
];

export interface Thing {
  readonly n: number;
  readonly text?: string;
}

export type Handler = (batch: EventBatch<Thing>) => Promise<BatchResult>;

export class LostConnection extends Error {
  override readonly name = 'LostConnection';
}

export function faultOf(error: unknown): Fault {
  return error instanceof LostConnection ? 'transient' : 'poison';
}

export function requiredBrokers(): readonly string[] {
  const brokers = process.env['TEST_KAFKA_BROKERS'];
  if (brokers === undefined) throw new Error('TEST_KAFKA_BROKERS is not set');
  return brokers.split(',');
}

export const logger = pino({ level: process.env['TEST_LOG'] ?? 'silent' });

export interface RunningConsumer {
  readonly server: KafkaServer;
  readonly health: Health;
  readonly metrics: Registry;
  close(): Promise<void>;
}

/** One installation's topics on the shared broker, with its publisher and consumers; closes all of them. */
export class Bench {
  readonly kafka: KafkaOptions;
  readonly publisher: KafkaPublisher;
  private readonly closers: (() => Promise<unknown>)[] = [];

  private constructor(kafka: KafkaOptions) {
    this.kafka = kafka;
    this.publisher = new KafkaPublisher({ kafka: this.kafka, logger, metrics: new Registry() });
    this.closers.push(() => this.publisher.close());
  }

  /** Over topics that exist. */
  static over(kafka: KafkaOptions): Bench {
    return new Bench(kafka);
  }

  static async open(topics = catalogue, brokers = requiredBrokers(), partitions?: number): Promise<Bench> {
    const bench = Bench.over({ brokers, clientId: 'test', topicPrefix: uniqueTopicPrefix() });
    await createTopics(topics, {
      kafka: bench.kafka,
      logger,
      ...(partitions !== undefined && { partitions }),
    });
    await bench.publisher.connect();
    return bench;
  }

  async consume(
    handle: Handler,
    options: Partial<KafkaServerOptions> = {},
    topic: string = TOPIC,
  ): Promise<RunningConsumer> {
    @Controller()
    class Consumer {
      @EventPattern<unknown>(topic)
      on(batch: EventBatch<Thing>): Promise<BatchResult> {
        return handle(batch);
      }
    }
    @Module({ controllers: [Consumer] })
    class ConsumerModule {}

    const metrics = new Registry();
    const health = new Health();
    const server = new KafkaServer({
      kafka: this.kafka,
      groupId: 'readers',
      catalogue,
      faultOf,
      logger,
      metrics,
      health,
      ...options,
    });
    const app = await NestFactory.create(ConsumerModule, new FastifyAdapter(), { logger: false });
    connectStrategy(app, server);
    await app.init();
    health.started();
    await app.startAllMicroservices();
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => (closing ??= app.close());
    this.closers.push(close);
    return { server, health, metrics, close };
  }

  /** A message that our own publisher would not write. */
  async raw(
    message: { key?: string; value: string | null; headers?: Record<string, string>; partition?: number },
    topic = TOPIC,
  ): Promise<void> {
    const producer = new Kafka({
      brokers: [...this.kafka.brokers],
      logLevel: logLevel.NOTHING,
    }).producer();
    await producer.connect();
    await producer.send({ topic: this.kafka.topicPrefix + topic, messages: [message] });
    await producer.disconnect();
  }

  async publish(key: string, ...numbers: number[]): Promise<void> {
    await this.publisher.publishAll(
      numbers.map((n) => event(key, n)),
      { deadlineMs: 10_000 },
    );
  }

  async close(): Promise<void> {
    for (const close of this.closers.toReversed()) await close();
  }
}

export function event(key: string, n: number, data: object = { n }): OutgoingEvent {
  return {
    topic: TOPIC,
    key,
    id: newId(),
    type: TYPE,
    source: '/test',
    time: '2026-01-01T00:00:00.000Z',
    tenant: 'demo',
    data: JSON.stringify(data),
  };
}
