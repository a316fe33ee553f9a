import { setTimeout as delay } from 'node:timers/promises';

import { Child } from './child.js';
import type { ChildExit, ChildOptions } from './child.js';

export interface ReadyCheck {
  /** Rejects or says false until it serves. */
  readonly answers: () => Promise<boolean>;
  readonly withinMs: number;
  readonly everyMs: number;
}

/** A server that runs as a process of ours, and can be killed and started again. */
export abstract class ChildServer {
  protected child: Child | undefined;
  private readonly listeners: ((exit: ChildExit) => void)[] = [];

  get isRunning(): boolean {
    return this.child?.isRunning ?? false;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Called at every end of the process, a wanted one included. */
  onExit(listener: (exit: ChildExit) => void): void {
    this.listeners.push(listener);
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.child?.kill();
  }

  /** SIGSTOP: it keeps its connections and answers nobody. */
  pause(): void {
    this.child?.pause();
  }

  resume(): void {
    this.child?.resume();
  }

  /** @throws with the end of its log when it does not answer in time. */
  protected async launch(options: ChildOptions, { answers, withinMs, everyMs }: ReadyCheck): Promise<void> {
    const child = await Child.spawn(options);
    this.child = child;
    this.tellExitOf(child);
    const deadline = performance.now() + withinMs;
    while (!(await answers().catch(() => false))) {
      const what = child.isRunning ? `no answer after ${String(withinMs / 1_000)} s` : 'it ended at once';
      if (!child.isRunning || performance.now() > deadline)
        throw new Error(
          `starting ${options.name}: ${what}; the end of ${options.logFile}:\n${child.logTail()}`,
        );
      await delay(everyMs);
    }
  }

  protected tellExitOf(child: Child): void {
    child.onExit((exit) => {
      for (const listener of this.listeners) listener(exit);
    });
  }

  /** SIGTERM, and SIGKILL where it is still there after the grace. */
  protected async end(graceMs: number): Promise<void> {
    await this.child?.end('SIGTERM', graceMs);
  }
}
