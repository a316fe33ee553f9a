import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { Child, logTail } from './child.js';
import { ChildServer } from './child-server.js';
import { eventually } from './eventually.js';
import { freePort } from './free-port.js';
import { temporaryFolder } from './temp-folder.js';

export interface ServiceOptions {
  /** As in its logs. */
  readonly name: string;
  /** The built entry file: `dist/apps/dispatcher/main.js`. */
  readonly entry: string;
  /** All that it gets, beside what a process needs to run at all. PORT and INTERNAL_PORT are chosen where absent. */
  readonly env: Readonly<Record<string, string>>;
  /** Folder for its log file; a temporary one otherwise. */
  readonly logFolder?: string;
  readonly nodeFlags?: readonly string[];
  /** Wait until it is ready, not only until it runs. True by default; false for a service without its Kafka. */
  readonly untilReady?: boolean;
  readonly startTimeoutMs?: number;
  /** Between SIGTERM and SIGKILL, 10 s by default as orchestrators have it. */
  readonly stopTimeoutMs?: number;
}

/** One JSON line; a line that is none has only `msg`. */
export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_EXTRA_CA_CERTS'] as const;
const KEPT_LINES = 5_000;
const STOP_MS = 10_000;

/** Starts a service as a process of its own, on ports that it keeps over restarts. */
export async function spawnService(options: ServiceOptions): Promise<SpawnedService> {
  const logFolder = options.logFolder ?? (await temporaryFolder('logs'));
  mkdirSync(logFolder, { recursive: true });
  const ports = {
    PORT: options.env['PORT'] ?? String(await freePort()),
    INTERNAL_PORT: options.env['INTERNAL_PORT'] ?? String(await freePort()),
  };
  const service = new SpawnedService(
    { ...options, env: { ...options.env, ...ports } },
    join(logFolder, `${options.name}.log`),
  );
  await service.start();
  return service;
}

export class SpawnedService extends ChildServer {
  readonly name: string;
  readonly port: number;
  readonly internalPort: number;
  readonly url: string;
  readonly internalUrl: string;
  /** The newest ones, of all its starts. */
  readonly lines: LogLine[] = [];
  private rest = '';

  constructor(
    private readonly options: ServiceOptions,
    readonly logFile: string,
  ) {
    super();
    this.name = options.name;
    this.port = Number(options.env['PORT']);
    this.internalPort = Number(options.env['INTERNAL_PORT']);
    this.url = `http://127.0.0.1:${this.port}`;
    this.internalUrl = `http://127.0.0.1:${this.internalPort}`;
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    const log = openSync(this.logFile, 'a');
    const inherited = INHERITED.flatMap((name) =>
      process.env[name] === undefined ? [] : [[name, process.env[name]]],
    );
    const child = await Child.spawn({
      name: this.name,
      command: process.execPath,
      args: ['--enable-source-maps', ...(this.options.nodeFlags ?? []), this.options.entry],
      env: {
        ...(Object.fromEntries(inherited) as NodeJS.ProcessEnv),
        HOST: '127.0.0.1',
        ...this.options.env,
      },
      logFile: this.logFile,
      onStdout: (chunk) => {
        writeSync(log, chunk);
        this.collect(chunk);
      },
    });
    this.child = child;
    child.onExit(() => {
      closeSync(log);
    });
    this.tellExitOf(child);
    const withinMs = this.options.startTimeoutMs ?? 30_000;
    try {
      await eventually(() => this.checkHealth(child), { withinMs, everyMs: 50 });
    } catch (error) {
      await this.kill();
      throw new Error(`starting ${this.name}; the end of ${this.logFile}:\n${logTail(this.logFile)}`, {
        cause: error,
      });
    }
    if (!child.isRunning)
      throw new Error(`${this.name} ended at once; the end of ${this.logFile}:\n${child.logTail()}`);
  }

  async isReady(): Promise<boolean> {
    try {
      return (await this.health('ready')).ok;
    } catch {
      return false;
    }
  }

  /** SIGTERM. @throws when it has not ended by itself, with exit code 0, in time */
  async stop(): Promise<void> {
    if (this.child?.isRunning !== true) return;
    const stopMs = this.options.stopTimeoutMs ?? STOP_MS;
    const inTime = await this.child.end('SIGTERM', stopMs);
    const { code, signal } = await this.child.exited;
    if (inTime && code === 0) return;
    const what = inTime
      ? `ended with ${signal ?? `code ${String(code)}`}`
      : `was still there after ${stopMs} ms`;
    throw new Error(
      `${this.name} ${what} after SIGTERM; the end of ${this.logFile}:\n${this.child.logTail()}`,
    );
  }

  /** `stop()` unless it is gone already, and a start on the same ports. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Waits for a line, in what was already written as well. */
  async logged(matches: (line: LogLine) => boolean, withinMs = 10_000): Promise<LogLine> {
    return eventually(
      () => {
        const line = this.lines.find(matches);
        if (line === undefined) throw new Error(`${this.name} has not logged it: see ${this.logFile}`);
        return line;
      },
      { withinMs },
    );
  }

  /** The end of a process is not worth waiting for. */
  private async checkHealth(child: Child): Promise<void> {
    if (!child.isRunning) return;
    const { ok } = await this.health(this.options.untilReady === false ? 'live' : 'ready');
    if (!ok) throw new Error(`${this.name} is not ready`);
  }

  private async health(kind: 'live' | 'ready'): Promise<Response> {
    return fetch(`${this.internalUrl}/health/${kind}`, { signal: AbortSignal.timeout(2_000) });
  }

  private collect(chunk: string): void {
    const texts = (this.rest + chunk).split('\n');
    this.rest = texts.pop() ?? '';
    for (const text of texts) if (text !== '') this.lines.push(parse(text));
    if (this.lines.length > KEPT_LINES) this.lines.splice(0, this.lines.length - KEPT_LINES);
  }
}

function parse(text: string): LogLine {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'msg' in value) return value as LogLine;
  } catch {
    // Not one of ours: a warning of Node, for instance.
  }
  return { msg: text };
}
