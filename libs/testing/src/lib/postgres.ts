import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Client } from 'pg';

import { Child, endLeftover, logTail } from './child.js';
import { ChildServer } from './child-server.js';
import { freePort, isPortFree } from './free-port.js';
import { guardProcess, unguardProcess } from './guard.js';
import { postgresBinaries } from './postgres-binaries.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import { childrenOf } from './process-identity.js';
import { canReach, unprivileged } from './run-as.js';
import type { RunAs } from './run-as.js';
import { stopProcess, trySignal } from './signals.js';
import { PID_FILE, temporaryFolder } from './temp-folder.js';

export interface PostgresOptions {
  /** Folder that keeps the data between starts, with its port and password; a temporary one otherwise. */
  readonly dir?: string;
  readonly port?: number;
  /** Survive a power cut (fsync). By default true for a kept folder, false for a temporary one. */
  readonly durable?: boolean;
  /** Beyond ours: `{ max_connections: '50' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

interface SavedServer {
  readonly port: number;
  readonly password: string;
  /** Where the data is when the user that PostgreSQL runs as may not enter the folder. */
  readonly dataFolder: string;
}

const run = promisify(execFile);
const USER = 'heddle';
const READY_MS = 60_000;
const GRACE_MS = 10_000;

/** A real PostgreSQL 18 on 127.0.0.1. */
export async function startPostgres(options: PostgresOptions = {}): Promise<LocalPostgres> {
  const isTemporary = options.dir === undefined;
  const dir = isTemporary ? await temporaryFolder('postgres') : resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  await endLeftover(join(dir, PID_FILE), `PostgreSQL of ${dir}`);
  const file = join(dir, 'server.json');
  const saved = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as SavedServer) : undefined;
  const runAs = unprivileged(join(saved?.dataFolder ?? dir, 'PG_VERSION'));
  const server: SavedServer = {
    port:
      options.port ?? (saved !== undefined && (await isPortFree(saved.port)) ? saved.port : await freePort()),
    password: saved?.password ?? randomBytes(16).toString('hex'),
    dataFolder:
      saved !== undefined && existsSync(saved.dataFolder) ? saved.dataFolder : newDataFolder(dir, runAs),
  };
  writeFileSync(file, JSON.stringify(server), { mode: 0o600 });
  const postgres = new LocalPostgres(dir, isTemporary, server, postgresBinaries(runAs), runAs, {
    ...((options.durable ?? !isTemporary) ? {} : { fsync: 'off', full_page_writes: 'off' }),
    ...options.settings,
  });
  try {
    await postgres.start();
  } catch (error) {
    await postgres.close();
    throw error;
  }
  return postgres;
}

function newDataFolder(dir: string, runAs: RunAs | undefined): string {
  if (runAs === undefined || canReach(dir, runAs)) return join(dir, 'data');
  const outside = mkdtempSync('/var/tmp/heddle-postgres-');
  chownSync(outside, runAs.uid, runAs.gid);
  return join(outside, 'data');
}

/** Its data outlives the process: `kill()` and `restart()` is a crash and a recovery. */
export class LocalPostgres extends ChildServer {
  readonly url: string;
  readonly port: number;
  readonly logFile: string;
  private paused: readonly number[] = [];

  constructor(
    readonly dir: string,
    private readonly isTemporary: boolean,
    private readonly server: SavedServer,
    private readonly binaries: PostgresBinaries,
    private readonly runAs: RunAs | undefined,
    private readonly settings: Readonly<Record<string, string>>,
  ) {
    super();
    this.port = server.port;
    this.url = `postgres://${USER}:${server.password}@127.0.0.1:${server.port}/postgres`;
    this.logFile = join(dir, 'postgres.log');
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    await this.initialise();
    const deadline = performance.now() + READY_MS;
    for (;;) {
      this.forgetStalePid();
      const from = existsSync(this.logFile) ? statSync(this.logFile).size : 0;
      this.child = await this.spawn();
      if (await this.untilReady(this.child, deadline)) break;
      // The backends of a killed server hold its shared memory until they have noticed.
      const said = readFileSync(this.logFile).subarray(from).toString();
      if (!said.includes('pre-existing shared memory') || performance.now() > deadline) throw this.failure();
      await delay(100);
    }
    this.tellExitOf(this.child);
  }

  /** SIGKILL, to the server and to its backends: what a power cut leaves. */
  override async kill(): Promise<void> {
    if (this.child?.isRunning !== true) return;
    this.child.pause();
    const backends = childrenOf(this.child.pid);
    await this.child.kill();
    for (const pid of backends) trySignal(pid, 'SIGKILL');
    this.forgetPaused();
  }

  /** SIGSTOP, to the server and to its backends: connections stay open and nobody answers. */
  override pause(): void {
    if (this.child?.isRunning !== true) return;
    this.child.pause();
    this.paused = childrenOf(this.child.pid);
    for (const pid of this.paused) {
      guardProcess(pid);
      stopProcess(pid);
    }
  }

  override resume(): void {
    for (const pid of this.paused) trySignal(pid, 'SIGCONT');
    this.forgetPaused();
    this.child?.resume();
  }

  /** An orderly end, or none if it is already gone, and a start on the same port. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** An orderly end that cuts open connections. */
  async stop(): Promise<void> {
    this.resume();
    await this.child?.end('SIGINT', GRACE_MS);
  }

  /** Ends the server; removes the data if the folder is a temporary one. */
  async close(): Promise<void> {
    await (this.isTemporary ? this.kill() : this.stop());
    if (!this.isTemporary) return;
    rmSync(this.dir, { recursive: true, force: true });
    if (!this.server.dataFolder.startsWith(this.dir)) {
      rmSync(resolve(this.server.dataFolder, '..'), { recursive: true, force: true });
    }
  }

  private async initialise(): Promise<void> {
    const { dataFolder, password } = this.server;
    if (existsSync(join(dataFolder, 'global', 'pg_control'))) return;
    // What an interrupted initdb left is of no use, and initdb refuses to work beside it.
    rmSync(dataFolder, { recursive: true, force: true });
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    const passwordFile = join(dataFolder, '..', '.initial-password');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (this.runAs !== undefined) {
      for (const path of [dataFolder, passwordFile]) chownSync(path, this.runAs.uid, this.runAs.gid);
    }
    const flags = [
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ];
    try {
      await run(
        this.binaries.initdb,
        [
          `--pgdata=${dataFolder}`,
          `--username=${USER}`,
          `--pwfile=${passwordFile}`,
          '--locale=C',
          '--no-sync',
          ...flags,
        ],
        { cwd: '/', ...this.runAs },
      );
    } catch (error) {
      const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
      throw new Error(`creating the PostgreSQL data in ${dataFolder}: ${said}`, { cause: error });
    } finally {
      rmSync(passwordFile, { force: true });
    }
  }

  private async spawn(): Promise<Child> {
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '200',
      timezone: 'UTC',
      log_timezone: 'UTC',
      ...this.settings,
    };
    return Child.spawn({
      name: `PostgreSQL of ${this.dir}`,
      command: this.binaries.postgres,
      args: [
        ...['-D', this.server.dataFolder, '-p', String(this.port)],
        ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
      ],
      cwd: '/',
      ...this.runAs,
      logFile: this.logFile,
      pidFile: join(this.dir, PID_FILE),
    });
  }

  /** @returns false when the server ended instead */
  private async untilReady(child: Child, deadline: number): Promise<boolean> {
    while (child.isRunning) {
      const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 2_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return true;
      } catch {
        if (performance.now() > deadline) throw this.failure();
        await delay(50);
      }
    }
    return false;
  }

  /**
   * After a SIGKILL the pid in postmaster.pid may meanwhile belong to any process of the same user, which would stop
   * PostgreSQL from starting. No server of ours runs here any more: `endLeftover` has seen to that.
   */
  private forgetStalePid(): void {
    const file = join(this.server.dataFolder, 'postmaster.pid');
    if (!existsSync(file)) return;
    const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
    if (trySignal(pid, 0)) rmSync(file, { force: true });
  }

  private forgetPaused(): void {
    for (const pid of this.paused) unguardProcess(pid);
    this.paused = [];
  }

  private failure(): Error {
    return new Error(
      `starting PostgreSQL on port ${this.port}; the end of ${this.logFile}:\n${logTail(this.logFile)}`,
    );
  }
}
