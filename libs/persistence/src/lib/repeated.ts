import { describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { faultOf } from './database-error.js';

/** Work on a database at intervals, never two at a time. A failure is said and left to the next time. */
export class Repeated {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    /** The log line of a failure. */
    private readonly failure: string,
    private readonly everyMs: number | (() => number),
    private readonly logger: Logger,
    private readonly work: () => Promise<unknown>,
  ) {}

  start(): void {
    if (this.stopped) return;
    this.timer = setTimeout(
      () => {
        this.running = this.once().finally(() => {
          this.start();
        });
      },
      typeof this.everyMs === 'number' ? this.everyMs : this.everyMs(),
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private async once(): Promise<void> {
    try {
      await this.work();
    } catch (error) {
      const level = faultOf(error) === 'transient' ? 'warn' : 'error';
      this.logger[level]({ err: describeError(error) }, this.failure);
    }
  }
}
