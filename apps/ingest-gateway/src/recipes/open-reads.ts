import type { Caller } from '@heddle/access';
import { listTenants } from '@heddle/access';
import type { TenantSettings } from '@heddle/access';
import type { DataSource } from '@heddle/persistence';
import { ProblemError, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

const FRESH_MS = 30_000;

/** Whose recipes anybody may read under a host name: those of its tenant, or of the only tenant there is. */
export class OpenReads {
  private readonly callers = new Map<string, Caller>();
  private tenants: readonly TenantSettings[] | undefined;
  private readAt = -Infinity;
  private reading: Promise<void> | undefined;

  constructor(
    private readonly options: {
      readonly dataSource: DataSource;
      readonly publicHosts: ReadonlyMap<string, string>;
      readonly logger: Logger;
    },
  ) {}

  /**
   * @returns undefined where a read needs a key.
   * @throws {ProblemError} 503 while the tenants are not known.
   */
  async callerFor(hostHeader: string): Promise<Caller | undefined> {
    const tenants = await this.currentTenants();
    const host = hostHeader.toLowerCase();
    const { publicHosts } = this.options;
    const named = publicHosts.get(host) ?? publicHosts.get(host.replace(/:\d+$/, ''));
    const found =
      named === undefined
        ? tenants.length === 1
          ? tenants[0]
          : undefined
        : tenants.find(({ tenant }) => tenant === named);
    return found?.recipeAccess === 'open' ? this.anybodyAt(found.tenant) : undefined;
  }

  /** The same object each time, so that its token is signed once in a while only. */
  private anybodyAt(tenant: string): Caller {
    let caller = this.callers.get(tenant);
    if (caller === undefined) {
      caller = { tenant, permissions: ['recipes:read'], actor: 'anybody', channel: undefined };
      this.callers.set(tenant, caller);
    }
    return caller;
  }

  private async currentTenants(): Promise<readonly TenantSettings[]> {
    if (performance.now() - this.readAt >= FRESH_MS) {
      this.reading ??= this.read().finally(() => {
        this.reading = undefined;
      });
      // What was known stays good while it is read again.
      if (this.tenants === undefined) await this.reading;
    }
    if (this.tenants !== undefined) return this.tenants;
    throw new ProblemError(503, 'the tenants cannot be read at the moment, try again', {
      headers: { 'retry-after': '5' },
    });
  }

  private async read(): Promise<void> {
    try {
      this.tenants = await listTenants(this.options.dataSource);
      this.readAt = performance.now();
    } catch (error) {
      this.options.logger.warn({ err: describeError(error) }, 'tenants.unreadable');
    }
  }
}
