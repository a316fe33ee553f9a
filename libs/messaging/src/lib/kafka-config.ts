import { z } from 'zod';

/** Spread into an app's `Config`. */
export const kafkaConfig = {
  KAFKA_BROKERS: z
    .string()
    .regex(/^[^\s,]+:\d+(?:,[^\s,]+:\d+)*$/)
    .transform((list) => list.split(','))
    .describe('Bootstrap brokers, host:port, comma-separated.'),
  KAFKA_TOPIC_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,60}$/)
    .default('')
    .describe('Put before every topic and group id, so that one cluster can host several installations.'),
  KAFKA_SSL: z.stringbool().default(false).describe('Connects with TLS.'),
  KAFKA_SASL_MECHANISM: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
    .optional()
    .describe('Logs in with this mechanism; needs the user name and the password too.'),
  KAFKA_SASL_USERNAME: z.string().optional().describe('User name for SASL.'),
  KAFKA_SASL_PASSWORD: z.string().optional().describe('Password for SASL.'),
  KAFKA_COMPRESSION: z
    .enum(['none', 'gzip'])
    .default('none')
    .describe('Compression of what is published; gzip costs about half as much CPU again.'),
  KAFKA_SESSION_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(2_000)
    .max(300_000)
    .default(6_000)
    .describe(
      'How long a killed consumer keeps its partitions. Brokers refuse less than 6000 unless told otherwise.',
    ),
} as const;

export type KafkaConfig = z.infer<z.ZodObject<typeof kafkaConfig>>;

export interface KafkaOptions {
  readonly brokers: readonly string[];
  /** The service's name, in the brokers' own logs and quotas. */
  readonly clientId: string;
  /** Applied to topics and group ids inside this library only. */
  readonly topicPrefix: string;
  readonly ssl?: boolean;
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
  readonly compression?: 'none' | 'gzip';
  readonly sessionTimeoutMs?: number;
}

export function kafkaOptions(config: KafkaConfig, clientId: string): KafkaOptions {
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
  } = config;
  return {
    brokers: config.KAFKA_BROKERS,
    clientId,
    topicPrefix: config.KAFKA_TOPIC_PREFIX,
    ssl: config.KAFKA_SSL,
    compression: config.KAFKA_COMPRESSION,
    sessionTimeoutMs: config.KAFKA_SESSION_TIMEOUT_MS,
    ...(mechanism !== undefined && {
      sasl: { mechanism, username: username ?? '', password: password ?? '' },
    }),
  };
}
