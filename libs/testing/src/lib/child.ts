import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { guardProcess, unguardProcess } from './guard.js';
import { identityOf, isRunning } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';
import { killGroup, stopProcess } from './signals.js';

export interface ChildOptions {
  /** For messages: `Kafka broker 1`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** Gets stdout and stderr, appended. */
  readonly logFile: string;
  /** Remembers the process for the next start, should this process be killed. */
  readonly pidFile?: string;
  /** `pipe` gives stdout to `onStdout` instead of the log file. */
  readonly onStdout?: (chunk: string) => void;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface PidFile {
  readonly child: ProcessIdentity;
  readonly owner: ProcessIdentity;
}

/** A process of ours: it dies with us, its output is kept, and its pid is never used after its end. */
export class Child {
  readonly exited: Promise<ChildExit>;
  private exit: ChildExit | undefined;
  private readonly listeners: ((exit: ChildExit) => void)[] = [];

  private constructor(
    private readonly options: ChildOptions,
    private readonly process: ChildProcess,
  ) {
    this.exited = new Promise((resolve) => {
      const end = (exit: ChildExit): void => {
        if (this.exit !== undefined) return;
        this.exit = exit;
        if (process.pid !== undefined) unguardProcess(process.pid);
        if (options.pidFile !== undefined) rmSync(options.pidFile, { force: true });
        resolve(exit);
        for (const listener of this.listeners) listener(exit);
      };
      process.on('exit', (code, signal) => end({ code, signal }));
      process.on('error', (error) => {
        writeFileSync(options.logFile, `${error.message}\n`, { flag: 'a' });
        if (process.pid === undefined) end({ code: null, signal: null });
      });
    });
  }

  /** @throws when the process of an earlier start still serves a living owner */
  static async spawn(options: ChildOptions): Promise<Child> {
    if (options.pidFile !== undefined) await endLeftover(options.pidFile, options.name);
    const log = openSync(options.logFile, 'a');
    try {
      const child = spawn(options.command, options.args, {
        cwd: options.cwd,
        env: options.env ?? process.env,
        ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
        detached: true,
        stdio: ['ignore', options.onStdout === undefined ? log : 'pipe', log],
      });
      if (child.pid !== undefined) guardProcess(child.pid);
      child.stdout?.setEncoding('utf8').on('data', options.onStdout ?? (() => undefined));
      const it = new Child(options, child);
      it.remember();
      return it;
    } finally {
      closeSync(log);
    }
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.exit === undefined && this.process.pid !== undefined;
  }

  onExit(listener: (exit: ChildExit) => void): void {
    if (this.exit === undefined) this.listeners.push(listener);
    else listener(this.exit);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.process.kill(signal);
  }

  /** SIGSTOP: it keeps its connections and does nothing. */
  pause(): void {
    if (this.isRunning) stopProcess(this.pid);
  }

  resume(): void {
    this.signal('SIGCONT');
  }

  /** SIGKILL, to it and to what it started. */
  async kill(): Promise<void> {
    if (this.isRunning) killGroup(this.pid);
    await this.exited;
  }

  /** @returns false when it had to be killed because the grace was over */
  async end(signal: NodeJS.Signals, graceMs: number): Promise<boolean> {
    this.signal(signal);
    this.signal('SIGCONT');
    const timer = new AbortController();
    const inTime = await Promise.race([
      this.exited.then(() => true),
      delay(graceMs, false, { signal: timer.signal }).catch(() => false),
    ]);
    timer.abort();
    if (!inTime) await this.kill();
    return inTime;
  }

  logTail(lines = 25): string {
    return logTail(this.options.logFile, lines);
  }

  private remember(): void {
    const child = identityOf(this.pid);
    const owner = identityOf(process.pid);
    if (this.options.pidFile === undefined || child === undefined || owner === undefined) return;
    writeFileSync(this.options.pidFile, JSON.stringify({ child, owner } satisfies PidFile));
  }
}

export function logTail(logFile: string, lines = 25): string {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

/**
 * Ends the process that an earlier, killed owner left behind.
 * @throws when its owner still lives: two owners of one data folder would destroy it
 */
export async function endLeftover(pidFile: string, name: string): Promise<void> {
  let left: PidFile;
  try {
    left = JSON.parse(readFileSync(pidFile, 'utf8')) as PidFile;
  } catch {
    return;
  }
  if (isRunning(left.child)) {
    if (isRunning(left.owner)) {
      throw new Error(`${name} is already running for process ${left.owner.pid}: stop that one first`);
    }
    killGroup(left.child.pid);
    const deadline = performance.now() + 10_000;
    while (isRunning(left.child)) {
      if (performance.now() > deadline)
        throw new Error(`${name}: process ${left.child.pid} of an earlier run cannot be ended`);
      await delay(20);
    }
  }
  rmSync(pidFile, { force: true });
}
