import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { DestinationKind } from '@heddle/contracts';
import {
  HookCatcher,
  startAzurite,
  startFileServer,
  startS3Proxy,
  startSftpServer,
  startSmtpServer,
} from '@heddle/testing';
import type { Azurite, FileServer, S3Proxy, SftpServer, SmtpServer } from '@heddle/testing';

import type { LocalFile } from './local-file.js';
import type { Ports } from './ports.js';

const HOST = '127.0.0.1';
const SFTP_USER = 'heddle';
const BUCKET = 'heddle';
const CONTAINER = 'heddle';
/** Fixed, so that each start signs the same text and finds its integration unchanged. */
const SAS_DAYS = { startsAt: new Date('2020-01-01'), expiresAt: new Date('2100-01-01') };

/** What an integration to a sandbox is made with. */
export interface SandboxIntegration {
  readonly destination: DestinationKind;
  /** By which a later start knows it. */
  readonly description: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/**
 * The systems that a Heddle on one machine delivers to, one of each kind, and the server of its sample files. Real
 * protocols; what arrives is a file somewhere below one folder.
 */
export class Sandboxes {
  private sftp: SftpServer | undefined;
  private smtp: SmtpServer | undefined;
  private files: FileServer | undefined;
  private hooks: HookCatcher | undefined;
  private s3: S3Proxy | undefined;
  private azurite: Azurite | undefined;

  private constructor(
    private readonly directory: string,
    private readonly ports: Readonly<
      Record<'sftp' | 'smtp' | 'files' | 'hooks' | 's3' | 'azure-blob', number>
    >,
    private readonly secrets: Readonly<Record<'sftp' | 's3-access' | 's3-secret', string>>,
  ) {}

  /** Decides about ports and secrets, the same as at the last start; nothing runs yet. */
  static async prepare(directory: string, ports: Ports): Promise<Sandboxes> {
    await mkdir(directory, { recursive: true });
    return new Sandboxes(
      directory,
      // One after the other: each choice must see the ones before it.
      {
        sftp: await ports.portFor('sandbox-sftp'),
        smtp: await ports.portFor('sandbox-smtp'),
        files: await ports.portFor('sandbox-files'),
        hooks: await ports.portFor('sandbox-hooks'),
        s3: await ports.portFor('sandbox-s3'),
        'azure-blob': await ports.portFor('sandbox-azure-blob'),
      },
      {
        sftp: await keptSecret(join(directory, 'sftp-password')),
        's3-access': await keptSecret(join(directory, 's3-access-key')),
        's3-secret': await keptSecret(join(directory, 's3-secret-key')),
      },
    );
  }

  /** Where deliveries may go in spite of the guard: nowhere but here. */
  get allowedAddresses(): readonly string[] {
    return Object.values(this.ports).map((port) => `${HOST}/32:${String(port)}`);
  }

  get smtpUrl(): string {
    return `smtp://${HOST}:${String(this.ports.smtp)}`;
  }

  /** Those that run in this process, within milliseconds. */
  async startInProcess(): Promise<void> {
    const { ports, secrets } = this;
    [this.sftp, this.smtp, this.files, this.hooks] = await Promise.all([
      startSftpServer({
        directory: await this.folder('sftp'),
        port: ports.sftp,
        users: [{ username: SFTP_USER, password: secrets.sftp }],
        hostKeyFile: this.path('sftp-host-key'),
      }),
      startSmtpServer({ directory: await this.folder('mail'), port: ports.smtp }),
      startFileServer({ directory: await this.folder('files'), port: ports.files }),
      HookCatcher.start({ directory: await this.folder('hooks'), port: ports.hooks }),
    ]);
  }

  /**
   * Those that are processes of their own. One that does not start is said and left out: the hub works without it.
   */
  async startProcesses(say: (line: string) => void): Promise<void> {
    const starting: readonly [string, Promise<void>][] = [
      ['S3', this.startS3()],
      ['Azure Blob', this.startAzurite()],
    ];
    await Promise.all(
      starting.map(([name, started]) =>
        started.catch((error: unknown) => {
          say(`the ${name} sandbox did not start: ${error instanceof Error ? error.message : String(error)}`);
        }),
      ),
    );
  }

  private async startS3(): Promise<void> {
    this.s3 = await startS3Proxy({
      directory: await this.folder('s3'),
      port: this.ports.s3,
      accessKey: this.secrets['s3-access'],
      secretKey: this.secrets['s3-secret'],
      buckets: [BUCKET],
    });
  }

  private async startAzurite(): Promise<void> {
    this.azurite = await startAzurite({
      dir: await this.folder('azure-blob'),
      port: this.ports['azure-blob'],
    });
    await this.azurite.createContainer(CONTAINER);
  }

  /** For `local.json`. A process that does not run is left out. */
  describe(): LocalFile['sandbox'] {
    const { sftp, smtp, files, hooks, s3, azurite } = this;
    if (!sftp || !smtp || !files || !hooks) throw new TypeError('the sandboxes have not been started');
    return {
      sftp: { host: HOST, port: sftp.port, username: SFTP_USER, directory: this.path('sftp') },
      smtp: { host: smtp.host, port: smtp.port, directory: smtp.directory, url: smtp.url },
      files: { baseUrl: `http://${HOST}:${String(files.port)}/`, directory: this.path('files') },
      zapier: { hookUrl: hooks.hookUrl(), directory: this.path('hooks') },
      ...(s3 && {
        s3: {
          endpoint: s3.endpoint,
          region: s3.region,
          bucket: BUCKET,
          accessKey: s3.accessKey,
          secretKey: s3.secretKey,
          directory: join(this.path('s3'), BUCKET),
        },
      }),
      ...(azurite && {
        azureBlob: {
          // Whoever looks needs more rights than the integration has.
          connectionString: azurite.connectionString(CONTAINER, { ...SAS_DAYS, rights: 'rcwl' }),
          container: CONTAINER,
        },
      }),
    };
  }

  /** Integrations to those that run by now. */
  integrations(): readonly SandboxIntegration[] {
    const { sftp, smtp, hooks, s3, azurite } = this;
    const integration = (
      destination: DestinationKind,
      name: string,
      settings: SandboxIntegration['settings'],
    ): SandboxIntegration => ({ destination, description: `Sandbox ${name} of npm start`, settings });
    return [
      ...(sftp
        ? [
            integration('sftp', 'SFTP server', {
              host: HOST,
              port: sftp.port,
              username: SFTP_USER,
              'password-secret': this.secrets.sftp,
              'host-key-sha256': sftp.hostKeySha256,
              directory: '.',
            }),
          ]
        : []),
      ...(smtp
        ? [integration('email', 'mailbox', { to: 'factory@demo.example', 'subject-prefix': '[Demo]' })]
        : []),
      ...(hooks ? [integration('zapier', 'hook', { 'hook-url': hooks.hookUrl() })] : []),
      ...(s3
        ? [
            integration('s3', 'bucket', {
              'access-key-secret': s3.accessKey,
              'secret-key-secret': s3.secretKey,
              bucket: BUCKET,
              region: s3.region,
              endpoint: s3.endpoint,
            }),
          ]
        : []),
      ...(azurite
        ? [
            integration('azure-blob', 'container', {
              'connection-string-secure': azurite.connectionString(CONTAINER, SAS_DAYS),
              container: CONTAINER,
            }),
          ]
        : []),
    ];
  }

  async close(): Promise<void> {
    const { sftp, smtp, files, hooks, s3, azurite } = this;
    await Promise.all([
      sftp?.close(),
      smtp?.close(),
      files?.close(),
      hooks?.close(),
      s3?.close(),
      azurite?.close(),
    ]);
  }

  private async folder(name: string): Promise<string> {
    await mkdir(this.path(name), { recursive: true });
    return this.path(name);
  }

  private path(name: string): string {
    return join(this.directory, name);
  }
}

/** Made at the first start, kept beside the data that it opens. */
async function keptSecret(file: string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => undefined);
  if (kept !== undefined) return kept;
  const secret = randomBytes(18).toString('base64url');
  await writeFile(file, secret, { mode: 0o600 });
  return secret;
}
