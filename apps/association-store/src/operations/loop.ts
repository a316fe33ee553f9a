import type { Logger } from '@heddle/platform';
import { describeError } from '@heddle/platform';

/**
 * Repeats a step until it says that nothing is left, then waits for a nudge or for `everyMs`. A step that fails
 * is tried again after a pause: a database that is away is waited out.
 */
export class Loop {
  private readonly stopping = new AbortController();
  private wake: (() => void) | undefined;
  private nudged = false;
  private running: Promise<void> | undefined;

  constructor(
    private readonly options: {
      readonly name: string;
      readonly everyMs: number;
      readonly logger: Logger;
      /** @returns whether there is more to do at once. */
      readonly step: (signal: AbortSignal) => Promise<boolean>;
    },
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  nudge(): void {
    this.nudged = true;
    this.wake?.();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake?.();
    await this.running;
  }

  private async run(): Promise<void> {
    const { name, everyMs, logger, step } = this.options;
    const { signal } = this.stopping;
    let failures = 0;
    while (!this.isStopping()) {
      this.nudged = false;
      let more = false;
      try {
        more = await step(signal);
        failures = 0;
      } catch (error) {
        if (this.isStopping()) return;
        failures += 1;
        logger.warn({ loop: name, failures, err: describeError(error) }, 'loop.step-failed');
      }
      if (failures > 0) await this.pause(Math.min(250 * 2 ** failures, 5_000), false);
      else if (!more) await this.pause(everyMs, true);
    }
  }

  /** A call, as the compiler takes what it has seen of a signal for what it still is. */
  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async pause(ms: number, mayBeNudged: boolean): Promise<void> {
    if (this.isStopping() || (mayBeNudged && this.nudged)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.wake = () => {
        if (mayBeNudged || this.isStopping()) done();
      };
    });
  }
}
