import { renameSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { Child } from './child.js';
import type { ServiceBlueprint } from './topology.js';

const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 15_000;
/** A service that ran this long has recovered: its next death starts the back-off anew. */
const HEALTHY_AFTER_MS = 30_000;
/** After SIGTERM; the services' own limit is one second shorter. */
const STOP_MS = 10_000;
const LARGEST_LOG_BYTES = 50 * 1024 * 1024;

/** Keeps one service running: starts it again with back-off when it dies, and says so. */
export class SupervisedService {
  private child: Child | undefined;
  private stopping = false;
  private backOffMs = FIRST_BACKOFF_MS;
  private readonly wake = new AbortController();

  constructor(
    readonly blueprint: ServiceBlueprint,
    private readonly files: { readonly logFile: string; readonly pidFile: string },
    private readonly say: (line: string) => void,
    /** The process is another one now. */
    private readonly onStarted: () => void,
  ) {}

  get pid(): number | undefined {
    return this.child?.isRunning === true ? this.child.pid : undefined;
  }

  get logFile(): string {
    return this.files.logFile;
  }

  async start(): Promise<void> {
    const { blueprint, files } = this;
    rotate(files.logFile);
    const startedAt = performance.now();
    const child = await Child.spawn({
      name: blueprint.name,
      command: process.execPath,
      args: [blueprint.entry],
      env: { ...blueprint.env },
      ...files,
    });
    this.child = child;
    child.onExit(({ code, signal }) => {
      if (this.stopping) return;
      if (performance.now() - startedAt > HEALTHY_AFTER_MS) this.backOffMs = FIRST_BACKOFF_MS;
      const cause = signal ?? `code ${String(code)}`;
      this.say(
        `${blueprint.name} ended (${cause}): starting it again in ${String(this.backOffMs)} ms; its log is ${files.logFile}`,
      );
      void this.startAgain(this.backOffMs);
      this.backOffMs = Math.min(this.backOffMs * 2, LONGEST_BACKOFF_MS);
    });
    this.onStarted();
  }

  private async startAgain(afterMs: number): Promise<void> {
    await delay(afterMs, undefined, { signal: this.wake.signal }).catch(() => undefined);
    if (this.stopping) return;
    try {
      await this.start();
    } catch (error) {
      this.say(
        `${this.blueprint.name} could not be started: ${error instanceof Error ? error.message : String(error)}`,
      );
      this.backOffMs = LONGEST_BACKOFF_MS;
      void this.startAgain(this.backOffMs);
    }
  }

  /** Resolves once the internal port says ready. */
  async ready(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    const url = `http://127.0.0.1:${String(this.blueprint.internalPort)}/health/ready`;
    let fault = 'it does not answer';
    while (performance.now() < deadline && !this.stopping) {
      try {
        const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) });
        if (answer.ok) return;
        fault = await answer.text();
      } catch {
        // Not listening yet.
      }
      await delay(50);
    }
    throw new Error(`${this.blueprint.name} did not become ready (${fault}): see ${this.logFile}`);
  }

  /** For fault tests: SIGKILL is followed by a start, SIGSTOP by nothing until SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.child?.signal(signal);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.wake.abort();
    await this.child?.end('SIGTERM', STOP_MS);
  }
}

function rotate(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LARGEST_LOG_BYTES) renameSync(path, `${path}.1`);
}
