import { createRequire } from 'node:module';

import type { ISocketFactory, logCreator, logLevel } from 'kafkajs';

/**
 * The parts of kafkajs below its producer and admin: connections, logins, metadata. Its producer keeps what it remembers
 * of a request from try to try, which is how it loses messages, and its admin asks for one topic at a time; so ours
 * stand on these. They are not in its types; the version is pinned, and a release that moves them breaks the specs, not
 * the data.
 */
export interface Cluster {
  /** Of which topics the metadata is asked; one that does not exist makes the whole answer an error. */
  targetTopics: Set<string>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[];
  findBroker(broker: { readonly nodeId: number }): Promise<Broker>;
  findGroupCoordinator(group: { readonly groupId: string }): Promise<Coordinator>;
  /** One request for each broker. The end of each partition, or its first offset. */
  fetchTopicsOffset(
    topics: readonly (TopicPartitions & { readonly fromBeginning: boolean })[],
  ): Promise<readonly TopicOffsets[]>;
  readonly brokerPool: { readonly brokers: Readonly<Record<number, Broker | undefined>> };
  removeBroker(address: { readonly host: string; readonly port: number }): void;
}

export interface PartitionMetadata {
  readonly partitionId: number;
  /** -1 while there is none. */
  readonly leader: number;
}

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number }[];
}

export interface TopicOffsets {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
}

export interface Coordinator {
  offsetFetch(request: {
    readonly groupId: string;
    readonly topics: readonly TopicPartitions[];
  }): Promise<{ readonly responses: readonly TopicOffsets[] }>;
}

export interface Broker {
  isConnected(): boolean;
  readonly connectionPool: { getConnection(): Promise<Connection> };
}

export interface Connection {
  readonly sasl: object | null | undefined;
  readonly socket: { write(frame: Buffer): boolean };
  readonly requestQueue: {
    push(request: {
      readonly entry: {
        readonly apiKey: number;
        readonly apiName: string;
        readonly apiVersion: number;
        readonly correlationId: number;
        readonly resolve: (answer: { readonly payload: Buffer }) => void;
        readonly reject: (error: Error) => void;
      };
      readonly expectResponse: true;
      readonly sendRequest: () => void;
    }): void;
  };
  isAuthenticated(): boolean;
  authenticate(): Promise<void>;
  failIfNotConnected(): void;
  nextCorrelationId(): number;
}

interface ClusterOptions {
  readonly logger: unknown;
  readonly socketFactory: ISocketFactory;
  readonly brokers: readonly string[];
  readonly ssl: boolean | undefined;
  readonly sasl: object | undefined;
  readonly clientId: string;
  readonly connectionTimeout: number;
  readonly requestTimeout: number;
  readonly enforceRequestTimeout: boolean;
  readonly metadataMaxAge: number;
  readonly allowAutoTopicCreation: boolean;
  readonly retry: object;
  readonly instrumentationEmitter: Emitter;
}

interface Emitter {
  addListener(
    event: string,
    listener: (event: { readonly payload: { readonly broker: string } }) => void,
  ): void;
}

const require = createRequire(import.meta.url);
const ClusterClass = require('kafkajs/src/cluster/index.js') as new (options: ClusterOptions) => Cluster;
const EmitterClass = require('kafkajs/src/instrumentation/emitter.js') as new () => Emitter;
const { createLogger } = require('kafkajs/src/loggers/index.js') as {
  createLogger: (options: { readonly level: logLevel; readonly logCreator: logCreator }) => unknown;
};

/** kafkajs' error for one of Kafka's codes: it carries the code's name as `type`. */
export const { createErrorFromCode } = require('kafkajs/src/protocol/error.js') as {
  createErrorFromCode: (code: number) => Error;
};

/** Sends a framed request, `correlationAt` bytes before its correlation id, and resolves with the answer's body. */
export async function exchange(
  broker: Broker,
  frame: Buffer,
  request: {
    readonly apiKey: number;
    readonly apiName: string;
    readonly apiVersion: number;
    readonly correlationAt: number;
  },
): Promise<Buffer> {
  const connection = await broker.connectionPool.getConnection();
  if (connection.sasl && !connection.isAuthenticated()) await connection.authenticate();
  connection.failIfNotConnected();
  const correlationId = connection.nextCorrelationId();
  frame.writeInt32BE(correlationId, request.correlationAt);
  const { apiKey, apiName, apiVersion } = request;
  const { payload } = await new Promise<{ readonly payload: Buffer }>((resolve, reject) => {
    connection.requestQueue.push({
      entry: { apiKey, apiName, apiVersion, correlationId, resolve, reject },
      expectResponse: true,
      sendRequest: () => {
        connection.socket.write(frame);
      },
    });
  });
  return payload;
}

export function createCluster(
  options: Omit<ClusterOptions, 'logger' | 'instrumentationEmitter'> & {
    readonly logLevel: logLevel;
    readonly logCreator: logCreator;
    readonly onRequestTimeout: (broker: string) => void;
  },
): Cluster {
  const { logLevel: level, logCreator: creator, onRequestTimeout, ...rest } = options;
  const instrumentationEmitter = new EmitterClass();
  instrumentationEmitter.addListener('network.request_timeout', ({ payload }) => {
    onRequestTimeout(payload.broker);
  });
  return new ClusterClass({
    ...rest,
    logger: createLogger({ level, logCreator: creator }),
    instrumentationEmitter,
  });
}
