import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { DESTINATION_KINDS, topicCatalogue } from '@heddle/contracts';
import { createTopics } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';
import {
  CORE_SERVICES,
  EMBEDDED_SESSION_MS,
  HubClient,
  SupervisedService,
  identityOf,
  isPortFree,
  serviceNames,
  startKafka,
  startPostgres,
  topology,
} from '@heddle/testing';
import type {
  AdminCommand,
  KafkaCluster,
  LocalPostgres,
  ProcessIdentity,
  ServiceName,
  ServicePorts,
} from '@heddle/testing';

import { TENANT, ensureIntegrations, ensureKeys, forgetKeys } from './demo-tenant.js';
import type { DemoKeys } from './demo-tenant.js';
import { readLocalFile } from './local-file.js';
import type { LocalFile } from './local-file.js';
import { embeddedKafkaVariables, kafkaFrom, kafkaVariables } from './local-kafka.js';
import { PASSED_ON } from './passed-on.js';
import { Ports } from './ports.js';
import { Sandboxes } from './sandboxes.js';
import { StartError } from './screen.js';
import type { Screen } from './screen.js';
import { readState, writePrivate } from './state.js';
import type { LocalState } from './state.js';
import { saveSampleRecipe, showWelcome } from './welcome.js';

export interface LocalOptions {
  readonly root: string;
  /** `.heddle`: all data of this installation. */
  readonly directory: string;
  readonly PORT: number;
  readonly KAFKA_BROKERS?: readonly string[] | undefined;
  readonly DATABASE_URL?: string | undefined;
  readonly OUTBOUND_ALLOWED_ADDRESSES: string;
  readonly LOG_LEVEL: string;
  readonly RETRY_DELAYS_MS: string;
  readonly NOTIFICATION_WINDOW_MS: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** On one machine with one process a service: each partition is asked for again and again, also when nothing comes. */
const EMBEDDED_PARTITIONS = 4;
const run = promisify(execFile);
const READY_MS = 60_000;
/** It may be killed again while it recovers. */
const POSTGRES_TRIES = 5;
const POSTGRES_AGAIN_MS = 500;
function ownIdentity(): ProcessIdentity {
  const identity = identityOf(process.pid);
  if (identity === undefined) throw new Error('the operating system does not tell when a process began');
  return identity;
}

/** One Heddle on one machine: embedded Kafka and PostgreSQL, sandboxes, and every service as a process of its own. */
export class LocalHeddle {
  onFatal: (reason: string) => void = () => undefined;

  private readonly services: SupervisedService[] = [];
  private kafka: KafkaCluster | undefined;
  private postgres: LocalPostgres | undefined;
  private sandboxes: Sandboxes | undefined;
  private local: Omit<LocalFile, 'services'> | undefined;
  private stopping = false;

  constructor(
    private readonly options: LocalOptions,
    private readonly screen: Screen,
  ) {}

  async start(): Promise<void> {
    const { options } = this;
    await Promise.all([
      mkdir(this.path('run'), { recursive: true }),
      mkdir(this.path('logs'), { recursive: true }),
    ]);
    const running = await readLocalFile(options.directory).catch(() => undefined);
    if (running !== undefined) {
      throw new StartError(
        `Heddle already runs here (process ${String(running.pid)}, ${running.baseUrl}): stop it with Ctrl-C there first.`,
      );
    }
    const state = await readState(this.path('state.json'));
    state.starts += 1;
    const ports = new Ports(state);
    if (!(await isPortFree(options.PORT))) {
      const other = String(options.PORT + 1);
      throw new StartError(
        `Port ${String(options.PORT)} is in use: free it or choose another one, as in PORT=${other} npm start.`,
      );
    }

    const sandboxes = await Sandboxes.prepare(this.path('sandbox'), ports);
    this.sandboxes = sandboxes;
    const [kafka, databaseUrl] = await Promise.all([
      this.provideKafka(),
      this.providePostgres(),
      sandboxes.startInProcess(),
    ]);
    await this.launch(state, ports, { kafka, databaseUrl, sandboxes });
  }

  /** @returns the variables that tell a service how to reach it. */
  private async provideKafka(): Promise<Record<string, string>> {
    const { KAFKA_BROKERS, environment } = this.options;
    if (KAFKA_BROKERS !== undefined) {
      this.screen.say(`using Kafka at ${KAFKA_BROKERS.join(',')}`);
      const variables = kafkaVariables(environment);
      await this.createTopics(variables);
      return variables;
    }
    this.kafka = await startKafka({ dir: this.path('kafka', 'data') });
    for (const node of this.kafka.nodes) {
      node.onExit(({ code, signal }) => {
        if (this.stopping) return;
        const cause = signal ?? `code ${String(code)}`;
        this.onFatal(
          `The embedded Kafka ended (${cause}) and Heddle cannot go on without it: see ${node.logFile}, then start again.`,
        );
      });
    }
    const { brokers } = this.kafka;
    const variables = embeddedKafkaVariables(environment, { brokers, sessionTimeoutMs: EMBEDDED_SESSION_MS });
    await this.createTopics(variables, EMBEDDED_PARTITIONS);
    this.screen.say(`Kafka is up at ${brokers}`);
    return variables;
  }

  private createTopics(variables: Readonly<Record<string, string>>, partitions?: number): Promise<void> {
    return createTopics(topicCatalogue, {
      ...(partitions !== undefined && { partitions }),
      kafka: kafkaFrom(variables, 'local'),
      logger: createLogger({ service: 'local', level: 'error' }),
    });
  }

  private async providePostgres(): Promise<string> {
    const { DATABASE_URL } = this.options;
    let url = DATABASE_URL;
    if (url === undefined) {
      this.postgres = await startPostgres({ dir: this.path('postgres') });
      this.postgres.onExit(({ code, signal }) => {
        if (!this.stopping) void this.restartPostgres(signal ?? `code ${String(code)}`);
      });
      url = this.postgres.url;
    }
    await this.migrate(url);
    this.screen.say(
      DATABASE_URL === undefined
        ? 'PostgreSQL is up, its schemas are current'
        : 'the schemas of the given PostgreSQL are current',
    );
    return url;
  }

  /** The embedded one may have another port at each start; its password is as old as its data. */
  private databaseIdentity(databaseUrl: string): string {
    if (this.postgres === undefined) return databaseUrl;
    const url = new URL(databaseUrl);
    url.port = '';
    return url.href;
  }

  private async restartPostgres(reason: string): Promise<void> {
    this.screen.say(`the embedded PostgreSQL ended (${reason}): starting it again`);
    for (let tries = 1; !this.stopping; tries += 1) {
      try {
        await this.postgres?.start();
        this.screen.say('PostgreSQL is up again');
        return;
      } catch (error) {
        if (tries >= POSTGRES_TRIES) {
          const why = error instanceof Error ? error.message : String(error);
          this.onFatal(`The embedded PostgreSQL could not be started again: ${why}`);
          return;
        }
        await delay(POSTGRES_AGAIN_MS * tries);
      }
    }
  }

  /** Side by side: each service owns its schema. */
  private async migrate(databaseUrl: string): Promise<void> {
    await Promise.all(
      CORE_SERVICES.map((app) =>
        run(process.execPath, [this.entry(app, 'migrate')], {
          env: { ...this.options.environment, DATABASE_URL: databaseUrl },
        }),
      ),
    );
  }

  private entry(app: string, name: string): string {
    return join(this.options.root, 'dist', 'apps', app, `${name}.js`);
  }

  private async launch(
    state: LocalState,
    ports: Ports,
    parts: {
      readonly kafka: Readonly<Record<string, string>>;
      readonly databaseUrl: string;
      readonly sandboxes: Sandboxes;
    },
  ): Promise<void> {
    const { options, screen } = this;
    const { kafka, databaseUrl, sandboxes } = parts;
    const kafkaBrokers = kafka['KAFKA_BROKERS'] ?? '';
    const baseUrl = `http://127.0.0.1:${String(options.PORT)}`;
    // One after the other: each choice must see the ones before it.
    const servicePorts = new Map<ServiceName, ServicePorts>();
    for (const name of serviceNames(DESTINATION_KINDS)) {
      servicePorts.set(name, {
        port: name === 'ingest-gateway' ? options.PORT : await ports.portFor(name),
        internalPort: await ports.portFor(`${name}-internal`),
      });
    }
    const command = { entry: this.entry('ingest-gateway', 'admin'), databaseUrl };
    const given = await ensureKeys(state, command, this.databaseIdentity(databaseUrl));
    // From here on a crash must not lose the keys: they are shown once.
    await writePrivate(this.path('state.json'), state);
    const allowed = [...sandboxes.allowedAddresses];
    if (options.OUTBOUND_ALLOWED_ADDRESSES !== '') allowed.push(options.OUTBOUND_ALLOWED_ADDRESSES);
    const blueprints = topology({
      root: options.root,
      workers: DESTINATION_KINDS,
      ports: servicePorts,
      kafkaBrokers,
      databaseUrl,
      publicUrl: baseUrl,
      secretsKey: state.secretsKey,
      serviceTokenKeys: state.serviceTokenKeys,
      outboundAllowedAddresses: allowed.join(','),
      spoolDirectory: this.path('spool'),
      filesDirectory: this.path('uploads'),
      workerEnv: { email: { SMTP_URL: sandboxes.smtpUrl, MAIL_FROM: 'Heddle <heddle@hub.example>' } },
      env: {
        ...kafka,
        ...this.passedOn(),
        LOG_LEVEL: options.LOG_LEVEL,
        RETRY_DELAYS_MS: options.RETRY_DELAYS_MS,
        NOTIFICATION_WINDOW_MS: options.NOTIFICATION_WINDOW_MS,
      },
    });
    this.local = {
      baseUrl,
      tenant: TENANT,
      ...given,
      kafkaBrokers,
      kafka,
      databaseUrl,
      sandbox: sandboxes.describe(),
      ...ownIdentity(),
    };
    for (const blueprint of blueprints) {
      const files = {
        logFile: this.path('logs', `${blueprint.name}.log`),
        pidFile: this.path('run', `${blueprint.name}.pid`),
      };
      this.services.push(
        new SupervisedService(
          blueprint,
          files,
          (line) => screen.say(line),
          () => this.describe(),
        ),
      );
    }
    await Promise.all(this.services.map((service) => service.start()));
    await Promise.all(this.services.map((service) => service.ready(READY_MS)));
    screen.say('all services are ready: orders are accepted');
    const keys = await this.workingKeys(state, command, given);
    this.local = { ...this.local, ...keys };
    const admin = new HubClient(baseUrl, keys.adminApiKey);
    await ensureIntegrations(state, admin, sandboxes.integrations());
    // After that, as nobody who posts an order has to wait for them.
    await sandboxes.startProcesses((line) => screen.say(line));
    this.local = { ...this.local, sandbox: sandboxes.describe() };
    await ensureIntegrations(state, admin, sandboxes.integrations());
    await writePrivate(this.path('state.json'), state);
    await saveSampleRecipe(this.local);
    this.describe();
    await this.described;
    const file = relative(options.root, this.path('local.json'));
    showWelcome(screen, this.local, { starts: state.starts, file });
  }

  /** Somebody may have revoked those of the last start, or made the database anew: then there are new ones. */
  private async workingKeys(state: LocalState, command: AdminCommand, given: DemoKeys): Promise<DemoKeys> {
    const { local } = this;
    if (local === undefined) return given;
    const calls = await Promise.all([
      new HubClient(local.baseUrl, given.apiKey).call('GET', '/api/v2/orders?limit=1'),
      new HubClient(local.baseUrl, given.adminApiKey).call('GET', '/api/v2/integrations?limit=1'),
    ]);
    if (!calls.some(({ status }) => status === 401)) return given;
    this.screen.say('the keys of the last start are not good any more: making new ones');
    forgetKeys(state);
    const keys = await ensureKeys(state, command, this.databaseIdentity(local.databaseUrl));
    await writePrivate(this.path('state.json'), state);
    return keys;
  }

  /** What the services may need of the surroundings, beyond what is decided here. */
  private passedOn(): Record<string, string> {
    const { environment } = this.options;
    return Object.fromEntries(
      PASSED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
    );
  }

  private described: Promise<void> = Promise.resolve();

  /** Rewritten at each start of a service, as its pid is another one then. */
  private describe(): void {
    const { local } = this;
    if (local === undefined || this.stopping) return;
    const services = this.services.flatMap((service) => {
      const { name, port, internalPort } = service.blueprint;
      if (service.pid === undefined) return [];
      return [
        {
          name,
          pid: service.pid,
          url: `http://127.0.0.1:${String(port)}`,
          metricsUrl: `http://127.0.0.1:${String(internalPort)}/metrics`,
          logFile: service.logFile,
        },
      ];
    });
    this.described = this.described.then(() =>
      writePrivate(this.path('local.json'), { ...local, services } satisfies LocalFile),
    );
  }

  /** Services first, so that they can finish and say so; then what they stand on. Safe at any moment of the start. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.services.map((service) => service.stop()));
    await this.described.catch(() => undefined);
    await rm(this.path('local.json'), { force: true });
    await this.sandboxes?.close();
    await Promise.all([this.kafka?.close(), this.postgres?.close()]);
  }

  private path(...parts: string[]): string {
    return join(this.options.directory, ...parts);
  }
}
