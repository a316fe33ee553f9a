import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import {
  BlobServiceClient,
  ContainerSASPermissions,
  StorageSharedKeyCredential,
  generateBlobSASQueryParameters,
} from '@azure/storage-blob';
import type { ContainerClient } from '@azure/storage-blob';

import { ChildServer } from './child-server.js';
import { freePort } from './free-port.js';
import { PID_FILE, temporaryFolder } from './temp-folder.js';
import { workspaceRoot } from './workspace.js';

export interface AzuriteOptions {
  /** Data and account key, kept for the next start. Without it, a temporary folder that `close` removes. */
  readonly dir?: string;
  readonly port?: number;
}

export interface SasOptions {
  /** As in `sp`; `w` when left out. */
  readonly rights?: string;
  readonly startsAt?: Date;
  readonly expiresAt?: Date;
}

const ACCOUNT = 'heddle';
const KEY_FILE = 'account-key';
const DAY_MS = 86_400_000;
/** Of a SAS when nothing else is asked for. */
const SAS_MS = 365 * DAY_MS;
const READY_MS = 20_000;
const STOP_MS = 5_000;

/** The blob service of Azurite, with an account of its own and without telemetry. */
export async function startAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  const directory = options.dir === undefined ? await temporaryFolder('azurite') : resolve(options.dir);
  mkdirSync(directory, { recursive: true });
  const server = new Azurite(directory, options.port ?? (await freePort()), options.dir === undefined);
  try {
    await server.start();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

export class Azurite extends ChildServer {
  readonly account = ACCOUNT;
  readonly logFile: string;
  private readonly credential: StorageSharedKeyCredential;

  constructor(
    readonly directory: string,
    readonly port: number,
    private readonly isTemporary: boolean,
  ) {
    super();
    this.logFile = join(directory, 'azurite.log');
    this.credential = new StorageSharedKeyCredential(ACCOUNT, accountKeyOf(directory));
  }

  /** Of the account: what stands before the name of a container. */
  get endpoint(): string {
    return `http://127.0.0.1:${String(this.port)}/${ACCOUNT}`;
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    await this.launch(
      {
        name: `Azurite on port ${String(this.port)}`,
        command: process.execPath,
        args: [
          join(workspaceRoot(), 'node_modules', 'azurite', 'dist', 'src', 'blob', 'main.js'),
          ...['--blobHost', '127.0.0.1', '--blobPort', String(this.port), '--location', this.directory],
          // It knows fewer versions of the interface than the client speaks; what the tests lean on, they ask it for.
          ...['--silent', '--disableTelemetry', '--skipApiVersionCheck'],
        ],
        cwd: this.directory,
        env: {
          PATH: process.env['PATH'],
          AZURITE_ACCOUNTS: `${ACCOUNT}:${accountKeyOf(this.directory)}`,
        },
        logFile: this.logFile,
        pidFile: join(this.directory, PID_FILE),
      },
      { answers: () => this.answers(), withinMs: READY_MS, everyMs: 25 },
    );
  }

  /** With every right: for preparing and for looking, not for a destination. */
  container(name: string): ContainerClient {
    return new BlobServiceClient(this.endpoint, this.credential, {
      retryOptions: { maxTries: 1 },
    }).getContainerClient(name);
  }

  async createContainer(name: string): Promise<void> {
    await this.container(name).createIfNotExists();
  }

  /** For one container, as the portal prints it. */
  connectionString(container: string, { rights = 'w', startsAt, expiresAt }: SasOptions = {}): string {
    const sas = generateBlobSASQueryParameters(
      {
        containerName: container,
        permissions: ContainerSASPermissions.parse(rights),
        startsOn: startsAt ?? new Date(Date.now() - DAY_MS),
        expiresOn: expiresAt ?? new Date(Date.now() + SAS_MS),
      },
      this.credential,
    );
    return `BlobEndpoint=${this.endpoint};SharedAccessSignature=${sas.toString()}`;
  }

  /** Every blob that readers see. */
  async contents(container: string): Promise<ReadonlyMap<string, Buffer>> {
    const client = this.container(container);
    const blobs = new Map<string, Buffer>();
    for await (const { name } of client.listBlobsFlat())
      blobs.set(name, await client.getBlobClient(name).downloadToBuffer());
    return blobs;
  }

  /** Removes every blob, unfinished ones included. */
  async empty(container: string): Promise<void> {
    await this.createContainer(container);
    const client = this.container(container);
    for await (const { name } of client.listBlobsFlat({ includeUncommitedBlobs: true })) {
      // A blob that was never committed cannot be deleted before it is.
      await client.getBlockBlobClient(name).commitBlockList([]);
      await client.deleteBlob(name);
    }
  }

  /** SIGKILL. What it acknowledged in the last seconds may be gone: it writes its index every five. */
  override async kill(): Promise<void> {
    await super.kill();
  }

  /** Everything that was acknowledged is there at the next start. */
  async stop(): Promise<void> {
    await this.end(STOP_MS);
  }

  async close(): Promise<void> {
    if (!this.isTemporary) {
      await this.stop();
      return;
    }
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async answers(): Promise<boolean> {
    // Without credentials: any answer will do.
    await fetch(this.endpoint, { signal: AbortSignal.timeout(1_000) });
    return true;
  }
}

/** Every blob that a SAS with the rights to read and list shows: its name and its size in bytes. */
export async function listBlobs(
  connectionString: string,
  container: string,
): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]> {
  const client = BlobServiceClient.fromConnectionString(connectionString).getContainerClient(container);
  const blobs: { name: string; sizeBytes: number }[] = [];
  for await (const { name, properties } of client.listBlobsFlat())
    blobs.push({ name, sizeBytes: properties.contentLength ?? 0 });
  return blobs;
}

function accountKeyOf(directory: string): string {
  const file = join(directory, KEY_FILE);
  if (!existsSync(file)) writeFileSync(file, randomBytes(64).toString('base64'), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}
