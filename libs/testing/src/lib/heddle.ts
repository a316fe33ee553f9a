import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { PERMISSIONS } from '@heddle/contracts';
import type { DestinationKind, IntegrationView } from '@heddle/contracts';

import { createDatabase } from './create-database.js';
import { startFileServer } from './file-server.js';
import type { FileServer } from './file-server.js';
import { freePort } from './free-port.js';
import { HubClient, createIntegration, createKey, createTenant } from './hub-client.js';
import { startSftpServer } from './sftp-server.js';
import type { SftpServer } from './sftp-server.js';
import { SupervisedService } from './supervised-service.js';
import { temporaryFolder } from './temp-folder.js';
import { uniqueTopicPrefix } from './topic-prefix.js';
import { CORE_SERVICES, EMBEDDED_SESSION_MS, serviceNames, topology } from './topology.js';
import type { Environment, ServiceName, ServicePorts } from './topology.js';
import { workspaceRoot } from './workspace.js';

const run = promisify(execFile);
const READY_MS = 60_000;
const SFTP_USER = 'factory';

export interface HeddleOptions {
  readonly kafkaBrokers: string;
  /** A server; the suite gets a database of its own on it. */
  readonly databaseUrl: string;
  /** Kinds of destination whose workers run; without it, SFTP alone. */
  readonly workers?: readonly DestinationKind[];
  readonly env?: Environment;
  /** What the worker of one kind needs alone. */
  readonly workerEnv?: Readonly<Partial<Record<DestinationKind, Environment>>>;
  /** Beyond the suite's own SFTP and file server. */
  readonly allowedAddresses?: readonly string[];
}

/** A whole Heddle of real processes for one suite, with an SFTP server as the factory and a file server as the source. */
export class Heddle {
  readonly tenant = 'factory-one';

  private constructor(
    readonly directory: string,
    readonly baseUrl: string,
    readonly topicPrefix: string,
    readonly databaseUrl: string,
    readonly kafkaBrokers: string,
    readonly services: ReadonlyMap<ServiceName, SupervisedService>,
    readonly sftp: SftpServer,
    readonly sftpDirectory: string,
    readonly sftpPassword: string,
    readonly files: FileServer,
    readonly filesDirectory: string,
    readonly admin: HubClient,
    readonly client: HubClient,
    /** Of {@link client}. */
    readonly clientKey: string,
    private readonly dropDatabase: () => Promise<void>,
  ) {}

  static async start(options: HeddleOptions): Promise<Heddle> {
    const root = workspaceRoot();
    const directory = await temporaryFolder('heddle');
    const [sftpDirectory, filesDirectory] = [join(directory, 'sftp'), join(directory, 'files')];
    await Promise.all(
      [sftpDirectory, filesDirectory, join(directory, 'logs')].map((path) =>
        mkdir(path, { recursive: true }),
      ),
    );
    const sftpPassword = randomBytes(12).toString('hex');
    const topicPrefix = uniqueTopicPrefix();
    const [database, sftp, files] = await Promise.all([
      createDatabase(options.databaseUrl),
      startSftpServer({ directory: sftpDirectory, users: [{ username: SFTP_USER, password: sftpPassword }] }),
      startFileServer({ directory: filesDirectory }),
      run(process.execPath, [join(root, 'dist', 'tools', 'topics', 'main.js')], {
        env: {
          ...process.env,
          KAFKA_BROKERS: options.kafkaBrokers,
          KAFKA_TOPIC_PREFIX: topicPrefix,
          TOPIC_PARTITIONS: '4',
        },
      }),
    ]);
    const admin = (app: string, entry: string): string => join(root, 'dist', 'apps', app, `${entry}.js`);
    for (const app of CORE_SERVICES) {
      await run(process.execPath, [admin(app, 'migrate')], {
        env: { ...process.env, DATABASE_URL: database.url },
      });
    }
    const workers = options.workers ?? ['sftp'];
    const port = await freePort();
    const ports = new Map<ServiceName, ServicePorts>();
    for (const name of serviceNames(workers)) {
      ports.set(name, {
        port: name === 'ingest-gateway' ? port : await freePort(),
        internalPort: await freePort(),
      });
    }
    const baseUrl = `http://127.0.0.1:${String(port)}`;
    const keyring = (): string => `test:${randomBytes(32).toString('base64')}`;
    const allowed = [sftp.port, files.port].map((port) => `127.0.0.1/32:${String(port)}`);
    const blueprints = topology({
      root,
      workers,
      ports,
      kafkaBrokers: options.kafkaBrokers,
      topicPrefix,
      sessionTimeoutMs: EMBEDDED_SESSION_MS,
      databaseUrl: database.url,
      publicUrl: baseUrl,
      secretsKey: keyring(),
      serviceTokenKeys: keyring(),
      outboundAllowedAddresses: [...allowed, ...(options.allowedAddresses ?? [])].join(','),
      spoolDirectory: join(directory, 'spool'),
      filesDirectory: join(directory, 'uploads'),
      env: { RETRY_DELAYS_MS: '500,1000', ...options.env },
      ...(options.workerEnv !== undefined && { workerEnv: options.workerEnv }),
    });
    const services = new Map(
      blueprints.map((blueprint) => {
        const at = (kind: string): string => join(directory, 'logs', `${blueprint.name}.${kind}`);
        const files = { logFile: at('log'), pidFile: at('pid') };
        return [
          blueprint.name,
          new SupervisedService(
            blueprint,
            files,
            () => undefined,
            () => undefined,
          ),
        ] as const;
      }),
    );
    const command = { entry: admin('ingest-gateway', 'admin'), databaseUrl: database.url };
    await createTenant(command, 'factory-one');
    const keyOf = (name: string): Promise<string> =>
      createKey(command, { tenant: 'factory-one', name, permissions: [...PERMISSIONS] });
    const clientKey = await keyOf('orders');
    const heddle = new Heddle(
      directory,
      baseUrl,
      topicPrefix,
      database.url,
      options.kafkaBrokers,
      services,
      sftp,
      sftpDirectory,
      sftpPassword,
      files,
      filesDirectory,
      new HubClient(baseUrl, await keyOf('administration')),
      new HubClient(baseUrl, clientKey),
      clientKey,
      () => database.drop(),
    );
    try {
      await Promise.all([...services.values()].map((service) => service.start()));
      await Promise.all([...services.values()].map((service) => service.ready(READY_MS)));
    } catch (error) {
      await heddle.stop();
      throw error;
    }
    return heddle;
  }

  service(name: ServiceName): SupervisedService {
    const service = this.services.get(name);
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  }

  /** Address of a file that the suite's file server serves. */
  fileUrl(name: string): string {
    return `http://127.0.0.1:${String(this.files.port)}/${name}`;
  }

  /** An enabled integration to the suite's SFTP server. */
  integrate(
    overrides: Readonly<Record<string, unknown>> = {},
    settings: Readonly<Record<string, unknown>> = {},
  ): Promise<IntegrationView> {
    return createIntegration(this.admin, {
      description: 'The factory',
      ...overrides,
      settings: {
        host: '127.0.0.1',
        port: this.sftp.port,
        username: SFTP_USER,
        'password-secret': this.sftpPassword,
        'host-key-sha256': this.sftp.hostKeySha256,
        directory: '.',
        ...settings,
      },
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.services.values()].map((service) => service.stop()));
    await Promise.all([this.sftp.close(), this.files.close()]);
    await this.dropDatabase();
  }
}
