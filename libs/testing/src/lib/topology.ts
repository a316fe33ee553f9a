import { join } from 'node:path';

export const SERVICE_NAMES = ['ingest-gateway', 'association-store', 'dispatcher', 'outbound-sftp'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** Of consumer groups on the embedded Kafka: what a killed service holds is taken over sooner. */
export const EMBEDDED_SESSION_MS = 4_000;

export interface TopologyOptions {
  /** Folder with the built apps: `<root>/dist`. */
  readonly root: string;
  readonly ports: Readonly<Record<ServiceName, { readonly port: number; readonly internalPort: number }>>;
  readonly kafkaBrokers: string;
  readonly topicPrefix?: string;
  /** The embedded Kafka takes shorter sessions than other brokers do. */
  readonly sessionTimeoutMs?: number;
  readonly databaseUrl: string;
  readonly publicUrl: string;
  /** Keyrings, `kid:base64`. */
  readonly secretsKey: string;
  readonly serviceTokenKeys: string;
  readonly outboundAllowedAddresses: string;
  readonly spoolDirectory: string;
  /** Beyond the rest, for every service. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ServiceBlueprint {
  readonly name: ServiceName;
  readonly entry: string;
  readonly port: number;
  readonly internalPort: number;
  readonly env: Readonly<Record<string, string>>;
}

/** The services of one Heddle on one machine, and the environment that ties them together. */
export function topology(options: TopologyOptions): readonly ServiceBlueprint[] {
  const { ports, databaseUrl: DATABASE_URL } = options;
  const at = (name: ServiceName): string => `http://127.0.0.1:${String(ports[name].port)}`;
  const shared = {
    KAFKA_BROKERS: options.kafkaBrokers,
    KAFKA_TOPIC_PREFIX: options.topicPrefix ?? '',
    ...(options.sessionTimeoutMs !== undefined && {
      KAFKA_SESSION_TIMEOUT_MS: String(options.sessionTimeoutMs),
    }),
    HOST: '127.0.0.1',
    PUBLIC_URL: options.publicUrl,
    SERVICE_TOKEN_KEYS: options.serviceTokenKeys,
    SECRETS_KEY: options.secretsKey,
    // Memory at rest: V8 would let the young generation grow to 48 MB before it looks at it.
    NODE_OPTIONS: '--max-semi-space-size=8',
  };
  const STORE_URL = at('association-store');
  const OUTBOUND_ALLOWED_ADDRESSES = options.outboundAllowedAddresses;
  const own: Readonly<Record<ServiceName, Readonly<Record<string, string>>>> = {
    'ingest-gateway': { DATABASE_URL, STORE_URL, DISPATCHER_URL: at('dispatcher') },
    'association-store': { DATABASE_URL },
    dispatcher: { DATABASE_URL, OUTBOUND_ALLOWED_ADDRESSES },
    'outbound-sftp': {
      STORE_URL,
      OUTBOUND_ALLOWED_ADDRESSES,
      SPOOL_DIR: options.spoolDirectory,
      // Files pass through as many short-lived buffers: a small heap drops them early.
      NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=128',
    },
  };
  return SERVICE_NAMES.map((name) => ({
    name,
    entry: join(options.root, 'dist', 'apps', name, 'main.js'),
    ...ports[name],
    env: {
      ...shared,
      ...own[name],
      PORT: String(ports[name].port),
      INTERNAL_PORT: String(ports[name].internalPort),
      ...options.env,
    },
  }));
}
