import { join } from 'node:path';

import type { DestinationKind } from '@heddle/contracts';

/** What every Heddle runs, whatever its destinations. */
export const CORE_SERVICES = ['ingest-gateway', 'association-store', 'dispatcher'] as const;
export type WorkerName = `outbound-${DestinationKind}`;
export type ServiceName = (typeof CORE_SERVICES)[number] | WorkerName;
export type Environment = Readonly<Record<string, string>>;

/** Of consumer groups on the embedded Kafka: what a killed service holds is taken over sooner. */
export const EMBEDDED_SESSION_MS = 4_000;

export interface ServicePorts {
  readonly port: number;
  readonly internalPort: number;
}

export interface TopologyOptions {
  /** Folder with the built apps: `<root>/dist`. */
  readonly root: string;
  /** Kinds of destination whose workers run. */
  readonly workers: readonly DestinationKind[];
  /** One for each of `serviceNames(workers)`. */
  readonly ports: ReadonlyMap<ServiceName, ServicePorts>;
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
  /** Of uploaded files. */
  readonly filesDirectory: string;
  /** What the worker of one kind needs alone. */
  readonly workerEnv?: Readonly<Partial<Record<DestinationKind, Environment>>>;
  /** Beyond the rest, for every service. */
  readonly env?: Environment;
}

export interface ServiceBlueprint extends ServicePorts {
  readonly name: ServiceName;
  readonly entry: string;
  readonly env: Environment;
}

export function workerOf(kind: DestinationKind): WorkerName {
  return `outbound-${kind}`;
}

export function serviceNames(workers: readonly DestinationKind[]): readonly ServiceName[] {
  return [...CORE_SERVICES, ...workers.map(workerOf)];
}

/** The services of one Heddle on one machine, and the environment that ties them together. */
export function topology(options: TopologyOptions): readonly ServiceBlueprint[] {
  const { databaseUrl: DATABASE_URL, outboundAllowedAddresses: OUTBOUND_ALLOWED_ADDRESSES } = options;
  const portsOf = (name: ServiceName): ServicePorts => {
    const ports = options.ports.get(name);
    if (ports === undefined) throw new Error(`${name} has no ports`);
    return ports;
  };
  const at = (name: ServiceName): string => `http://127.0.0.1:${String(portsOf(name).port)}`;
  const shared = {
    KAFKA_BROKERS: options.kafkaBrokers,
    KAFKA_TOPIC_PREFIX: options.topicPrefix ?? '',
    ...(options.sessionTimeoutMs !== undefined && {
      KAFKA_SESSION_TIMEOUT_MS: String(options.sessionTimeoutMs),
    }),
    HOST: '127.0.0.1',
    HUB_ADDRESSES: [...options.ports.values()]
      .flatMap(({ port, internalPort }) => [port, internalPort])
      .map((port) => `http://127.0.0.1:${String(port)}`)
      .join(','),
    PUBLIC_URL: options.publicUrl,
    SERVICE_TOKEN_KEYS: options.serviceTokenKeys,
    SECRETS_KEY: options.secretsKey,
    // Memory at rest: V8 would let the young generation grow to 48 MB before it looks at it.
    NODE_OPTIONS: '--max-semi-space-size=8',
  };
  const STORE_URL = at('association-store');
  const core: Readonly<Record<(typeof CORE_SERVICES)[number], Environment>> = {
    'ingest-gateway': {
      DATABASE_URL,
      STORE_URL,
      DISPATCHER_URL: at('dispatcher'),
      OUTBOUND_ALLOWED_ADDRESSES,
    },
    'association-store': {
      DATABASE_URL,
      DISPATCHER_URL: at('dispatcher'),
      OUTBOUND_ALLOWED_ADDRESSES,
      FILES_DIR: options.filesDirectory,
    },
    dispatcher: { DATABASE_URL, OUTBOUND_ALLOWED_ADDRESSES },
  };
  const worker = (kind: DestinationKind): Environment => ({
    STORE_URL,
    DISPATCHER_URL: at('dispatcher'),
    OUTBOUND_ALLOWED_ADDRESSES,
    SPOOL_DIR: join(options.spoolDirectory, kind),
    // Files pass through as many short-lived buffers: a small heap drops them early.
    NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=128',
    ...options.workerEnv?.[kind],
  });
  const blueprint = (name: ServiceName, own: Environment): ServiceBlueprint => ({
    name,
    entry: join(options.root, 'dist', 'apps', name, 'main.js'),
    ...portsOf(name),
    env: {
      ...shared,
      ...own,
      PORT: String(portsOf(name).port),
      INTERNAL_PORT: String(portsOf(name).internalPort),
      ...options.env,
    },
  });
  return [
    ...CORE_SERVICES.map((name) => blueprint(name, core[name])),
    ...options.workers.map((kind) => blueprint(workerOf(kind), worker(kind))),
  ];
}
