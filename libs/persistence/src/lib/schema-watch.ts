import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from '@heddle/platform';
import type { DataSource } from 'typeorm';

import { connectDataSource } from './data-source.js';
import { schemaIsCurrent } from './migrations.js';

const AGAIN_MS = 1_000;

/**
 * Connects, and looks until the schema is current. Once it was, it stays so: a PostgreSQL that goes away later is the
 * business of those who ask it.
 */
export class SchemaWatch {
  private missing: string | undefined = 'the schema has not been seen yet';
  private readonly closing = new AbortController();
  private watching: Promise<void> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly logger: Logger,
  ) {}

  get fault(): string | undefined {
    return this.missing;
  }

  /** @param whenCurrent is called once, when there are tables to work with. */
  start(whenCurrent: () => void = () => undefined): void {
    this.watching = this.watch().then(whenCurrent, () => undefined);
  }

  async stop(): Promise<void> {
    this.closing.abort();
    await this.watching;
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  private async watch(): Promise<void> {
    const { signal } = this.closing;
    await connectDataSource(this.dataSource, { logger: this.logger, signal });
    for (;;) {
      this.missing = await schemaIsCurrent(this.dataSource);
      if (this.missing === undefined) return;
      await delay(AGAIN_MS, undefined, { signal });
    }
  }
}
