import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from 'pino';

import { BrokerWriter } from './broker-writer.js';
import type { Append, AppendResult } from './broker-writer.js';
import { REQUEST_TIMEOUT_MS, createInnerCluster } from './kafka-client.js';
import { createErrorFromCode, exchange } from './kafka-cluster.js';
import type { Cluster } from './kafka-cluster.js';
import type { KafkaOptions } from './kafka-config.js';
import { isAnswer, kafkaErrorType } from './kafka-error.js';
import { PRODUCE, decodeProduceAnswers, encodeGzippedProduce, encodeProduce } from './produce-request.js';
import type { ProduceAnswer, ProduceRequest } from './produce-request.js';

/** Longest that the brokers wait for their replicas; they answer before the connection counts as hung. */
const ACK_TIMEOUT_MS = REQUEST_TIMEOUT_MS - 1_000;
/** A request that kafkajs neither resolves nor rejects: it has never been seen, and it would stop a partition. */
const STUCK_MS = REQUEST_TIMEOUT_MS * 3;
const DISCONNECT_MS = 1_000;

/** What the publisher needs of a Kafka client; topics come with the installation's prefix. */
export interface PublisherTransport {
  /** Number of partitions. Rejects while the topic does not exist. */
  partitionsOf(topic: string): Promise<number>;
  /** One try. Resolves with the offset of the first message once all replicas have all of them. */
  send(append: Append): Promise<string>;
  /** Asks for the state of the cluster, which also refreshes the partitions' leaders. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/** Appends to partitions over kafkajs' connections, one to each broker. */
export class KafkaTransport implements PublisherTransport {
  private cluster: Cluster;
  private readonly leaders = new Map<string, readonly number[]>();
  private readonly writers = new Map<number, BrokerWriter>();
  private lastQuestion: Promise<unknown> = Promise.resolve();
  private waitingRefresh: Promise<void> | undefined;

  constructor(
    private readonly options: KafkaOptions,
    private readonly logger: Logger,
  ) {
    this.cluster = createInnerCluster(options, logger);
  }

  async partitionsOf(topic: string): Promise<number> {
    await this.inTurn(async () => {
      await this.cluster.connect();
      await this.ask([topic]);
    });
    const leaders = this.leaders.get(topic);
    if (leaders === undefined) throw new NoLeaderError();
    return leaders.length;
  }

  async send(append: Append): Promise<string> {
    const { topic, partition } = append;
    try {
      const nodeId = this.leaders.get(topic)?.[partition] ?? -1;
      if (nodeId < 0) throw new NoLeaderError();
      return await this.writerOf(nodeId).append(append);
    } catch (error) {
      await this.recover(topic, error);
      throw error;
    }
  }

  refresh(): Promise<void> {
    // A refresh that still waits for its turn is as fresh as another one behind it.
    this.waitingRefresh ??= this.inTurn(async () => {
      this.waitingRefresh = undefined;
      await this.cluster.connect();
      const topics = [...this.leaders.keys()];
      try {
        await this.ask(topics);
      } catch (error) {
        if (kafkaErrorType(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
        this.leaders.clear();
        // One of them was deleted: the others are asked for one by one.
        for (const topic of topics) await this.ask([topic]).catch(() => undefined);
      }
    });
    return this.waitingRefresh;
  }

  async close(): Promise<void> {
    await disconnect(this.cluster);
  }

  /** kafkajs shares one answer among all who ask at the same time, even when they ask for different topics. */
  private inTurn<T>(question: () => Promise<T>): Promise<T> {
    const answer = this.lastQuestion.then(question);
    this.lastQuestion = answer.catch(() => undefined);
    return answer;
  }

  private async ask(topics: readonly string[]): Promise<void> {
    this.cluster.targetTopics = new Set(topics);
    await this.cluster.refreshMetadata();
    for (const topic of topics) {
      const leaders: number[] = [];
      for (const { partitionId, leader } of this.cluster.findTopicPartitionMetadata(topic)) {
        leaders[partitionId] = leader;
      }
      if (leaders.length > 0) this.leaders.set(topic, leaders);
    }
  }

  private writerOf(nodeId: number): BrokerWriter {
    const known = this.writers.get(nodeId);
    if (known !== undefined) return known;
    const writer = new BrokerWriter({ send: (parts) => this.notStuck(this.request(nodeId, parts)) });
    this.writers.set(nodeId, writer);
    return writer;
  }

  private async request(nodeId: number, partitions: readonly Append[]): Promise<readonly AppendResult[]> {
    const connected = this.cluster.brokerPool.brokers[nodeId];
    const broker = connected?.isConnected() === true ? connected : await this.cluster.findBroker({ nodeId });
    const request: ProduceRequest = {
      clientId: this.options.clientId,
      partitions,
      timeoutMs: ACK_TIMEOUT_MS,
      timestamp: Date.now(),
    };
    const isGzipped = this.options.compression === 'gzip';
    const frame = isGzipped ? await encodeGzippedProduce(request) : encodeProduce(request);
    const answers = decodeProduceAnswers(await exchange(broker, frame, PRODUCE));
    return partitions.map(({ topic, partition }) =>
      // Only the partition's own answer is proof.
      resultOf(answers.find((answer) => answer.topic === topic && answer.partition === partition)),
    );
  }

  /** Prepares the next try: without the connection that broke, with fresh leaders. */
  private async recover(topic: string, error: unknown): Promise<void> {
    if (isAnswer(error) && !isMoved(error)) return;
    const { host, port } = error as { readonly host?: unknown; readonly port?: unknown };
    if (kafkaErrorType(error) === 'KafkaJSConnectionClosedError' && typeof host === 'string') {
      this.cluster.removeBroker({ host, port: Number(port) });
    }
    try {
      await this.notStuck<unknown>(this.leaders.has(topic) ? this.refresh() : this.partitionsOf(topic));
    } catch (cause) {
      this.logger.debug({ code: kafkaErrorType(cause) }, 'publisher.metadata.unknown');
    }
  }

  private notStuck<T>(asking: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.logger.error('publisher.client.stuck');
        void disconnect(this.cluster);
        this.cluster = createInnerCluster(this.options, this.logger);
        this.lastQuestion = Promise.resolve();
        this.waitingRefresh = undefined;
        reject(new NoAnswerError());
      }, STUCK_MS);
      asking.then(resolve, reject).finally(() => {
        clearTimeout(timer);
      });
    });
  }
}

function resultOf(answer: ProduceAnswer | undefined): AppendResult {
  if (answer === undefined) return { error: new NoAnswerError() };
  if (answer.errorCode !== 0) return { error: createErrorFromCode(answer.errorCode) };
  if (answer.baseOffset.startsWith('-')) return { error: new NoAnswerError() };
  return { firstOffset: answer.baseOffset };
}

class NoLeaderError extends Error {
  override readonly name = 'NoLeaderError';
}

class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
}

const MOVED: ReadonlySet<string> = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
]);

function isMoved(error: unknown): boolean {
  return MOVED.has(kafkaErrorType(error));
}

async function disconnect(cluster: Cluster): Promise<void> {
  const disconnected = cluster.disconnect().catch(() => undefined);
  await Promise.race([disconnected, delay(DISCONNECT_MS, undefined, { ref: false })]);
}
