import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';

import { createApiKey, createTenant } from '@heddle/access';
import type { Permission } from '@heddle/contracts';
import { topicCatalogue } from '@heddle/contracts';
import { createTopics } from '@heddle/messaging';
import { connectDataSource, runMigrations } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';
import type { RunningService } from '@heddle/platform';
import { createDatabase, eventually, uniqueTopicPrefix } from '@heddle/testing';

import { Config } from '../src/config.js';
import { accessDataSource } from '../src/database.js';
import { startGateway } from '../src/gateway.js';
import type { GatewayOptions } from '../src/gateway.js';

/** A request that a stand-in service got. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer =
  { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string } | 'hang';

/** A service behind the gateway, as far as the gateway can tell. */
export class StandIn {
  readonly seen: SeenRequest[] = [];
  answer: (request: SeenRequest) => Answer = () => ({ status: 200, body: '{}' });

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<StandIn> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const standIn = new StandIn(server, `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const seen = {
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
        };
        standIn.seen.push(seen);
        const answer = standIn.answer(seen);
        if (answer === 'hang') return;
        response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
        response.end(answer.body);
      });
    });
    return standIn;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export interface TestGateway {
  readonly url: string;
  readonly internalUrl: string;
  readonly service: RunningService;
  readonly dataSource: DataSource;
  readonly databaseUrl: string;
  readonly prefix: string;
  readonly store: StandIn;
  readonly dispatcher: StandIn;
  /** All that was logged so far. */
  logged(): string;
  key(
    permissions: readonly Permission[],
    options?: { tenant?: string; channel?: string },
  ): Promise<{ id: string; key: string }>;
  close(): Promise<void>;
}

export const TENANT = 'demo';

/** A gateway over HTTP in front of real Kafka and PostgreSQL, with a database and topics of its own. */
export async function startTestGateway(
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly brokers?: string;
    readonly databaseUrl?: string;
    readonly eventLog?: GatewayOptions['eventLog'];
  } = {},
): Promise<TestGateway> {
  const serverUrl = options.databaseUrl ?? process.env['TEST_DATABASE_URL'] ?? '';
  const brokers = options.brokers ?? process.env['TEST_KAFKA_BROKERS'] ?? '';
  const [database, store, dispatcher] = await Promise.all([
    createDatabase(serverUrl),
    StandIn.start(),
    StandIn.start(),
  ]);
  const prefix = uniqueTopicPrefix();
  const config = Config.parse({
    LOG_LEVEL: 'debug',
    PORT: '0',
    KAFKA_BROKERS: brokers,
    KAFKA_TOPIC_PREFIX: prefix,
    DATABASE_URL: database.url,
    PUBLIC_URL: 'https://hub.example',
    STORE_URL: store.url,
    DISPATCHER_URL: dispatcher.url,
    SERVICE_TOKEN_KEYS: `test:${randomBytes(32).toString('base64')}`,
    ...options.env,
  });
  let lines = '';
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines += chunk.toString();
      done();
    },
  });
  const logger = createLogger({ service: 'ingest-gateway', level: config.LOG_LEVEL, destination });
  const dataSource = accessDataSource(config);
  await Promise.all([
    runMigrations(dataSource),
    createTopics(
      topicCatalogue.filter(({ name }) => name.endsWith('.received')),
      { kafka: { brokers: brokers.split(','), clientId: 'test', topicPrefix: prefix }, logger },
    ),
  ]);
  await connectDataSource(dataSource, { logger });
  await createTenant(dataSource, TENANT);
  const service = await startGateway({
    config,
    version: 'test',
    logger,
    handleSignals: false,
    ...(options.eventLog === undefined ? {} : { eventLog: options.eventLog }),
  });
  return {
    url: `http://127.0.0.1:${String(service.port)}`,
    internalUrl: `http://127.0.0.1:${String(service.internalPort)}`,
    service,
    dataSource,
    databaseUrl: database.url,
    prefix,
    store,
    dispatcher,
    logged: () => lines,
    key: async (permissions, { tenant = TENANT, channel } = {}) => {
      const { id, key } = await createApiKey(dataSource, {
        tenant,
        name: 'test',
        permissions,
        channel,
        actor: 'command-line',
      });
      return { id, key };
    },
    close: async () => {
      await service.stop();
      await dataSource.destroy();
      await Promise.all([store.close(), dispatcher.close()]);
      await database.drop();
    },
  };
}

export async function untilReady({ internalUrl }: TestGateway): Promise<void> {
  await eventually(
    async () => {
      const answer = await fetch(`${internalUrl}/health/ready`);
      if (answer.status !== 200) throw new Error(await answer.text());
    },
    { withinMs: 20_000 },
  );
}
