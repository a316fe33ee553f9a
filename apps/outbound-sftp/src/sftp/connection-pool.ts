import { createHash } from 'node:crypto';

import type { SftpSettings } from '@heddle/contracts';

import type { SftpConnection, SftpConnections, SftpLease } from './sftp.client.js';

export interface PooledConnection extends SftpConnection {
  end(): void;
}

export interface ConnectionPoolOptions {
  open(settings: SftpSettings, onClose: () => void): Promise<PooledConnection>;
  readonly idleMs?: number;
}

/** Servers commonly limit connections per user; OpenSSH starts dropping unauthenticated ones at ten. */
const MAX_CONNECTIONS = 4;
/** Files over one connection before another one is opened. */
const BUSY_FILES = 4;
const IDLE_MS = 60_000;

interface Entry {
  readonly opened: Promise<PooledConnection>;
  connection: PooledConnection | undefined;
  users: number;
  hasServed: boolean;
  idle: NodeJS.Timeout | undefined;
}

/**
 * Keeps connections open between attempts, apart for each integration and each set of
 * credentials: a changed password never travels over the connection of the old one.
 */
export class ConnectionPool implements SftpConnections {
  private readonly pools = new Map<string, Set<Entry>>();
  private isClosed = false;

  constructor(private readonly options: ConnectionPoolOptions) {}

  get size(): number {
    return [...this.pools.values()].reduce((sum, pool) => sum + pool.size, 0);
  }

  async acquire(integrationId: string, settings: SftpSettings, signal: AbortSignal): Promise<SftpLease> {
    signal.throwIfAborted();
    const key = keyOf(integrationId, settings);
    const pool = this.pools.get(key) ?? new Set<Entry>();
    this.pools.set(key, pool);
    const entry = this.choose(key, pool, settings);
    entry.users += 1;
    clearTimeout(entry.idle);
    const isReused = entry.hasServed;
    try {
      const connection = await raceAbort(entry.opened, signal);
      entry.hasServed = true;
      let isReleased = false;
      const release = (): void => {
        if (isReleased) return;
        isReleased = true;
        this.leave(entry);
      };
      return { connection, isReused, release };
    } catch (error) {
      this.leave(entry);
      throw error;
    }
  }

  close(): Promise<void> {
    this.isClosed = true;
    for (const entry of [...this.pools.values()].flatMap((pool) => [...pool])) {
      clearTimeout(entry.idle);
      entry.connection?.end();
    }
    return Promise.resolve();
  }

  private choose(key: string, pool: Set<Entry>, settings: SftpSettings): Entry {
    const [calmest] = [...pool].sort((left, right) => left.users - right.users);
    const isEnough = calmest && (calmest.users < BUSY_FILES || pool.size >= MAX_CONNECTIONS);
    if (isEnough) return calmest;

    const drop = (): void => {
      pool.delete(entry);
      clearTimeout(entry.idle);
      if (pool.size === 0 && this.pools.get(key) === pool) this.pools.delete(key);
    };
    const opened = this.options.open(settings, drop);
    const entry: Entry = { opened, connection: undefined, users: 0, hasServed: false, idle: undefined };
    pool.add(entry);
    opened.then((connection) => {
      entry.connection = connection;
      if (this.isClosed) connection.end();
    }, drop);
    return entry;
  }

  private leave(entry: Entry): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    if (this.isClosed) entry.connection?.end();
    entry.idle = setTimeout(() => entry.connection?.end(), this.options.idleMs ?? IDLE_MS);
    entry.idle.unref();
  }
}

/** Every setting that changes the connection; hashed, so that no secret stays in a key. */
function keyOf(integrationId: string, settings: SftpSettings): string {
  const { directory: _directory, ...rest } = settings;
  const parts = Object.entries(rest).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([integrationId, parts]))
    .digest('base64');
}

async function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
