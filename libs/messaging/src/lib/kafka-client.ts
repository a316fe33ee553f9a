import { Kafka, logLevel } from 'kafkajs';
import type { Admin, Consumer, KafkaConfig, RequestTimeoutEvent } from 'kafkajs';
import type { Logger } from 'pino';

import { createCluster } from './kafka-cluster.js';
import type { Cluster } from './kafka-cluster.js';
import type { KafkaOptions } from './kafka-config.js';
import { kafkaLog } from './kafka-log.js';
import { KafkaSockets } from './kafka-sockets.js';
import { restIdleQueues } from './request-queue.js';

/** After this a broker counts as hung, and its connections are closed. */
export const REQUEST_TIMEOUT_MS = 6_000;
const CONNECTION_TIMEOUT_MS = 1_500;
/** The publisher refreshes its metadata itself. */
const NEVER_MS = 2 ** 31;

/** Every value is given: kafkajs has other defaults under NODE_ENV=test. */
const RETRY = { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000, factor: 0.2, multiplier: 2 } as const;

/**
 * For consumers without a loop of ours around them, as tools have: a broker that has just started may take seconds until
 * it has a coordinator for a new group.
 */
export const PATIENT_RETRY = { ...RETRY, retries: 30 } as const;

export interface KafkaClient {
  readonly kafka: Kafka;
  /** To be called with every consumer and admin of this client, so that a hung broker is noticed. */
  readonly watch: (member: Consumer | Admin) => void;
}

/**
 * A kafkajs client whose inner retries are few and short: what lasts longer is waited out by our own loops, which
 * know deadlines.
 */
export function createClient(options: KafkaOptions, logger: Logger): KafkaClient {
  restIdleQueues();
  const sockets = new KafkaSockets();
  return {
    kafka: new Kafka({
      ...commonOf(options, logger, sockets),
      ...(options.ssl === true && { ssl: true }),
      ...(options.sasl !== undefined && { sasl: saslOf(options.sasl) }),
    }),
    watch: (member) => {
      const watched = member as {
        on(event: string, listener: (event: RequestTimeoutEvent) => void): unknown;
      };
      watched.on(member.events.REQUEST_TIMEOUT, ({ payload }) => {
        sockets.suspect(payload.broker);
      });
    },
  };
}

/** The same below the API of kafkajs, for the publisher and for questions about offsets. */
export function createInnerCluster(options: KafkaOptions, logger: Logger): Cluster {
  restIdleQueues();
  const sockets = new KafkaSockets();
  return createCluster({
    ...commonOf(options, logger, sockets),
    ssl: options.ssl === true ? true : undefined,
    sasl: options.sasl,
    enforceRequestTimeout: true,
    metadataMaxAge: NEVER_MS,
    allowAutoTopicCreation: false,
    onRequestTimeout: (broker) => {
      sockets.suspect(broker);
    },
  });
}

function commonOf(options: KafkaOptions, logger: Logger, sockets: KafkaSockets) {
  return {
    clientId: options.clientId,
    brokers: [...options.brokers],
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: RETRY,
    socketFactory: sockets.factory,
    logLevel: logLevel.INFO,
    logCreator: kafkaLog(logger),
  } satisfies KafkaConfig;
}

type Sasl = NonNullable<KafkaOptions['sasl']>;

/** kafkajs types each mechanism apart. */
function saslOf({ mechanism, username, password }: Sasl): NonNullable<KafkaConfig['sasl']> {
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password };
    case 'scram-sha-256':
      return { mechanism, username, password };
    case 'scram-sha-512':
      return { mechanism, username, password };
  }
}
