import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Child } from './child.js';
import { freePort } from './free-port.js';
import { descendantsOf } from './process-identity.js';
import { fingerprint, generateKey } from './sftp-server.js';
import { stopProcess, trySignal } from './signals.js';
import { PID_FILE, temporaryFolder } from './temp-folder.js';

export interface OpenSshOptions {
  /** Where sessions begin: relative paths are below it. The server shows the rest of the disk, too. */
  readonly directory: string;
  readonly port?: number;
}

const run = promisify(execFile);
const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/opt/homebrew/sbin/sshd', '/sbin/sshd'];
const READY_MS = 10_000;

/** A real OpenSSH server with a configuration, a host key and a login key of its own; SFTP only. */
export async function startOpenSsh(options: OpenSshOptions): Promise<OpenSsh> {
  const sshd = await provideSshd();
  mkdirSync(options.directory, { recursive: true });
  const folder = await temporaryFolder('sshd');
  const server = new OpenSsh(sshd, folder, resolve(options.directory), options.port ?? (await freePort()));
  try {
    await server.start();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

export class OpenSsh {
  readonly host = '127.0.0.1';
  /** The user of this process: only root's sshd can let in others. */
  readonly username = userInfo().username;
  /** Of the only key that may log in. */
  readonly privateKey: string;
  readonly hostKeySha256: string;
  readonly logFile: string;
  private child: Child | undefined;

  constructor(
    private readonly sshd: string,
    private readonly folder: string,
    readonly directory: string,
    readonly port: number,
  ) {
    const host = generateKey();
    const login = generateKey();
    this.privateKey = login.privateKey;
    this.hostKeySha256 = fingerprint(host.publicKey);
    this.logFile = join(folder, 'sshd.log');
    writeFileSync(join(folder, 'host_key'), host.privateKey, { mode: 0o600 });
    writeFileSync(join(folder, 'authorized_keys'), `${login.publicKey}\n`, { mode: 0o600 });
    writeFileSync(join(folder, 'sshd_config'), this.config());
  }

  async start(): Promise<void> {
    if (this.child?.isRunning === true) return;
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const child = await Child.spawn({
      name: 'sshd',
      command: this.sshd,
      args: ['-D', '-e', '-f', join(this.folder, 'sshd_config')],
      logFile: this.logFile,
      pidFile: join(this.folder, PID_FILE),
    });
    this.child = child;
    const deadline = performance.now() + READY_MS;
    while (!(await this.greets())) {
      if (!child.isRunning || performance.now() > deadline) {
        throw new Error(`starting sshd on port ${this.port}; its log:\n${child.logTail()}`);
      }
      await delay(25);
    }
  }

  /** An absolute path as clients have to write it. */
  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** SIGKILL, sessions included. */
  async kill(): Promise<void> {
    const [, ...sessions] = this.processes();
    await this.child?.kill();
    for (const pid of sessions) trySignal(pid, 'SIGKILL');
  }

  /** SIGSTOP, sessions included. */
  pause(): void {
    for (const pid of this.processes()) stopProcess(pid);
  }

  resume(): void {
    for (const pid of this.processes()) trySignal(pid, 'SIGCONT');
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private processes(): readonly number[] {
    return this.child?.isRunning === true ? [this.child.pid, ...descendantsOf(this.child.pid)] : [];
  }

  private async greets(): Promise<boolean> {
    return new Promise((done) => {
      const socket = connect({ host: this.host, port: this.port, timeout: 1_000 });
      const end = (answer: boolean) => (): void => {
        socket.destroy();
        done(answer);
      };
      socket
        .once('data', end(true))
        .once('error', end(false))
        .once('timeout', end(false))
        .once('close', end(false));
    });
  }

  private config(): string {
    return [
      `ListenAddress ${this.host}:${this.port}`,
      `HostKey ${join(this.folder, 'host_key')}`,
      `AuthorizedKeysFile ${join(this.folder, 'authorized_keys')}`,
      'PidFile none',
      'UsePAM no',
      'StrictModes no',
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'MaxStartups 200',
      'LogLevel VERBOSE',
      'Subsystem sftp internal-sftp',
      `ForceCommand internal-sftp -d ${this.directory}`,
      '',
    ].join('\n');
  }
}

async function provideSshd(): Promise<string> {
  const found = (): string | undefined => SSHD.find((path) => existsSync(path));
  const present = found();
  if (present !== undefined) return present;
  if (process.getuid?.() === 0 && hasApt()) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    const install = ['install', '-y', '--no-install-recommends', 'openssh-server'];
    await run('apt-get', install, { env }).catch(async () => {
      await run('apt-get', ['update'], { env });
      await run('apt-get', install, { env });
    });
  }
  const sshd = found();
  if (sshd !== undefined) return sshd;
  throw new Error('OpenSSH is not installed: apt-get install openssh-server (or the same of your system)');
}

function hasApt(): boolean {
  try {
    execFileSync('apt-get', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
