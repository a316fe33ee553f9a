import { createHash, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server as TcpServer, Socket } from 'node:net';
import { dirname, resolve } from 'node:path';

import ssh2 from 'ssh2';
import type { AuthContext, ClientInfo, Connection, ServerChannel } from 'ssh2';

import { freePort } from './free-port.js';
import type { SftpFaults } from './sftp-faults.js';
import { SftpSession } from './sftp-session.js';
import type { SftpRename } from './sftp-session.js';

export interface SftpUser {
  readonly username: string;
  readonly password?: string;
  /** In OpenSSH form: `ssh-ed25519 AAAA...`. */
  readonly publicKeys?: readonly string[];
  /** Where relative paths begin, below the directory; `/` by default. */
  readonly home?: string;
}

export interface SftpServerOptions {
  /** The folder that clients see as `/`. */
  readonly directory: string;
  readonly users: readonly SftpUser[];
  readonly port?: number;
  /** Private key in OpenSSH or PEM form; a new one otherwise. */
  readonly hostKey?: string;
  /** Keeps the host key between starts: read if it is there, else written. */
  readonly hostKeyFile?: string;
  readonly faults?: SftpFaults;
}

type Method = 'password' | 'publickey';
const METHODS: Method[] = ['password', 'publickey'];

/** A real SFTP server in this process, whose faults can be switched while it runs. None of them ends the process. */
export async function startSftpServer(options: SftpServerOptions): Promise<SftpServer> {
  mkdirSync(options.directory, { recursive: true });
  const server = new SftpServer(options, options.port ?? (await freePort()));
  await server.listen();
  return server;
}

export class SftpServer {
  readonly host = '127.0.0.1';
  readonly directory: string;
  /** As OpenSSH prints it: `SHA256:` and 43 characters. */
  readonly hostKeySha256: string;
  /** Assign another value at any time: `server.faults = { hangOn: ['write'] }`, `server.faults = {}`. */
  faults: SftpFaults;
  /** In their order, paths as the client sees them. */
  readonly renames: SftpRename[] = [];
  /** Of all time. */
  acceptedConnections = 0;
  private readonly sockets = new Set<Socket>();
  private readonly tcp: TcpServer;
  private readonly ssh: ssh2.Server;

  constructor(
    private readonly options: SftpServerOptions,
    readonly port: number,
  ) {
    this.directory = realpathSync(options.directory);
    this.faults = options.faults ?? {};
    const hostKey = provideHostKey(options);
    this.hostKeySha256 = fingerprint(hostKey);
    this.ssh = new ssh2.Server({ hostKeys: [hostKey], ident: 'heddle-sandbox' }, (connection, client) =>
      this.serve(connection, client),
    );
    this.ssh.on('error', () => undefined);
    this.tcp = createServer((socket) => this.accept(socket));
  }

  /** Open at this moment. */
  get connections(): number {
    return this.sockets.size;
  }

  async listen(): Promise<void> {
    await new Promise<void>((done, fail) => {
      this.tcp.once('error', fail);
      this.tcp.listen(this.port, this.host, () => {
        this.tcp.off('error', fail);
        this.tcp.on('error', () => undefined);
        done();
      });
    });
  }

  /** Cuts all connections, as a host that goes away. */
  cutConnections(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((done) => this.tcp.close(done));
    this.cutConnections();
    await closed;
  }

  private accept(socket: Socket): void {
    this.acceptedConnections++;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    if (this.faults.refuseConnections === true) socket.resetAndDestroy();
    else if (this.faults.hangOn?.includes('connect') === true) socket.resume();
    else this.ssh.injectSocket(socket);
  }

  private serve(connection: Connection, { port }: ClientInfo): void {
    const socket = [...this.sockets].find(({ remotePort }) => remotePort === port);
    if (socket === undefined) {
      connection.end();
      return;
    }
    const closed = new Promise<void>((done) => socket.once('close', () => done()));
    let user: SftpUser | undefined;
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => {
      if (this.faults.hangOn?.includes('login') === true) return;
      user = this.faults.refuseLogin === true ? undefined : this.login(context);
      if (user === undefined) context.reject(METHODS);
      else context.accept();
    });
    connection.on('session', (accept) => {
      const session = accept();
      session.on('error', () => undefined);
      session.on('subsystem', (acceptSubsystem, reject, { name }) => {
        if (name !== 'sftp') {
          reject();
          return;
        }
        void this.converse(acceptSubsystem(), {
          root: this.directory,
          home: user?.home ?? '/',
          faults: () => this.faults,
          cut: () => socket.resetAndDestroy(),
          closed,
          renamed: (each) => this.renames.push(each),
        });
      });
    });
  }

  private async converse(
    channel: ServerChannel,
    context: ConstructorParameters<typeof SftpSession>[0],
  ): Promise<void> {
    channel.on('error', () => undefined);
    const send = async (packet: Buffer): Promise<void> => {
      if (channel.writable && !channel.write(packet)) {
        await Promise.race([
          new Promise<void>((done) => channel.once('drain', () => done())),
          context.closed,
        ]);
      }
    };
    try {
      await new SftpSession(context, send).run(channel as AsyncIterable<Buffer>);
      channel.exit(0);
      channel.end();
    } catch {
      // A broken packet, or a connection that went away in the middle of one.
      context.cut();
    }
  }

  private login(context: AuthContext): SftpUser | undefined {
    const user = this.options.users.find(({ username }) => username === context.username);
    if (user === undefined) return undefined;
    if (context.method === 'password') {
      return user.password !== undefined && isEqual(user.password, context.password) ? user : undefined;
    }
    if (context.method !== 'publickey') return undefined;
    for (const text of user.publicKeys ?? []) {
      const key = ssh2.utils.parseKey(text);
      if (key instanceof Error || !key.getPublicSSH().equals(context.key.data)) continue;
      // Without a signature the client only asks whether this key would do.
      if (context.signature === undefined || context.blob === undefined) return user;
      return key.verify(context.blob, context.signature, context.hashAlgo) ? user : undefined;
    }
    return undefined;
  }
}

/** The fingerprint that OpenSSH prints for a private or public key. */
export function fingerprint(key: string): string {
  const parsed = ssh2.utils.parseKey(key);
  if (parsed instanceof Error) throw parsed;
  return `SHA256:${createHash('sha256').update(parsed.getPublicSSH()).digest('base64').replace(/=+$/, '')}`;
}

function provideHostKey({ hostKey, hostKeyFile }: SftpServerOptions): string {
  if (hostKey !== undefined) return hostKey;
  if (hostKeyFile !== undefined && existsSync(hostKeyFile)) return readFileSync(hostKeyFile, 'utf8');
  const key = generateKey().privateKey;
  if (hostKeyFile !== undefined) {
    mkdirSync(dirname(resolve(hostKeyFile)), { recursive: true });
    writeFileSync(hostKeyFile, key, { mode: 0o600 });
  }
  return key;
}

/**
 * A new Ed25519 pair, both in OpenSSH form. Of those that ssh2 1.17 writes, one in about 300 is malformed, and no
 * server reads it: such a pair is thrown away.
 */
export function generateKey(): { readonly privateKey: string; readonly publicKey: string } {
  for (;;) {
    const { private: privateKey, public: publicKey } = ssh2.utils.generateKeyPairSync('ed25519');
    if (!(ssh2.utils.parseKey(privateKey) instanceof Error)) return { privateKey, publicKey };
  }
}

function isEqual(expected: string, actual: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(expected), hash(actual));
}
