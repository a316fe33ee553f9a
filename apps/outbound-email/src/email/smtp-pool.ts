/** A connection as the pool sees it. */
export interface Poolable {
  /** Ends it at once. */
  end(): void;
}

export interface Lease<TConnection> {
  readonly connection: TConnection;
  /** It has sent something before: the server may have closed it unnoticed. */
  readonly isReused: boolean;
  /** The connection can send the next mail. */
  giveBack(): void;
  /** It cannot, or nobody knows. */
  discard(): void;
}

export interface SmtpPoolOptions<TConnection> {
  open(onClose: () => void, signal: AbortSignal): Promise<TConnection>;
  readonly connections: number;
  readonly mailsPerConnection: number;
  readonly idleMs?: number;
}

/** Less than servers wait for a command. Source: RFC 5321, 4.5.3.2.7: five minutes, and many wait for one. */
const IDLE_MS = 30_000;

interface Kept<TConnection> {
  readonly connection: TConnection;
  sent: number;
  isOpen: boolean;
  isRetired: boolean;
  idle: NodeJS.Timeout | undefined;
}

/** Keeps a bounded number of connections to one server; who comes when all are in use waits for a turn. */
export class SmtpPool<TConnection extends Poolable> {
  private readonly idle: Kept<TConnection>[] = [];
  private readonly open = new Set<Kept<TConnection>>();
  private readonly waiting: (() => void)[] = [];
  private places: number;
  private isClosed = false;

  constructor(private readonly options: SmtpPoolOptions<TConnection>) {
    this.places = options.connections;
  }

  get size(): number {
    return this.open.size;
  }

  async acquire(signal: AbortSignal): Promise<Lease<TConnection>> {
    await this.takePlace(signal);
    try {
      return this.leaseOf(this.takeIdle() ?? (await this.openOne(signal)));
    } catch (error) {
      this.givePlace();
      throw error;
    }
  }

  /** Those that are open now send no further mail: each that comes back ends. */
  retire(): void {
    for (const kept of [...this.idle]) this.drop(kept);
    for (const kept of this.open) kept.isRetired = true;
  }

  close(): void {
    this.isClosed = true;
    for (const kept of [...this.open]) this.drop(kept);
  }

  private leaseOf(kept: Kept<TConnection>): Lease<TConnection> {
    let isOver = false;
    const end = (canGoOn: boolean): void => {
      if (isOver) return;
      isOver = true;
      kept.sent += 1;
      if (canGoOn && this.isUsable(kept)) {
        kept.idle = setTimeout(() => this.drop(kept), this.options.idleMs ?? IDLE_MS).unref();
        this.idle.push(kept);
      } else this.drop(kept);
      this.givePlace();
    };
    return {
      connection: kept.connection,
      isReused: kept.sent > 0,
      giveBack: () => end(true),
      discard: () => end(false),
    };
  }

  private isUsable({ isOpen, isRetired, sent }: Kept<TConnection>): boolean {
    return isOpen && !isRetired && !this.isClosed && sent < this.options.mailsPerConnection;
  }

  /** The one that was used last: the others may come to their idle end. */
  private takeIdle(): Kept<TConnection> | undefined {
    const kept = this.idle.pop();
    clearTimeout(kept?.idle);
    return kept;
  }

  private async openOne(signal: AbortSignal): Promise<Kept<TConnection>> {
    const closed = new AbortController();
    const connection = await this.options.open(() => closed.abort(), signal);
    const kept = { connection, sent: 0, isOpen: true, isRetired: false, idle: undefined };
    this.open.add(kept);
    closed.signal.addEventListener('abort', () => this.drop(kept), { once: true });
    if (closed.signal.aborted) this.drop(kept);
    return kept;
  }

  private drop(kept: Kept<TConnection>): void {
    clearTimeout(kept.idle);
    kept.isOpen = false;
    this.open.delete(kept);
    const index = this.idle.indexOf(kept);
    if (index !== -1) this.idle.splice(index, 1);
    kept.connection.end();
  }

  private async takePlace(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.places > 0) {
      this.places -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const take = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(take), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.waiting.push(take);
    });
  }

  private givePlace(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.places += 1;
  }
}
