import { readFile } from 'node:fs/promises';
import { delimiter } from 'node:path';

import { Child } from '@heddle/testing';

export interface StartCommandOptions {
  /** A clone. */
  readonly root: string;
  /** Gets what the command prints, appended. */
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
}

/** `npm start` as a person runs it in a terminal of its own. */
export class StartCommand {
  private constructor(
    private readonly child: Child,
    private readonly logFile: string,
  ) {}

  static async run({ root, logFile, env }: StartCommandOptions): Promise<StartCommand> {
    const child = await Child.spawn({
      name: 'npm start',
      command: 'npm',
      args: ['start'],
      cwd: root,
      env: { ...freshEnvironment(), ...env },
      logFile,
    });
    return new StartCommand(child, logFile);
  }

  get isRunning(): boolean {
    return this.child.isRunning;
  }

  /** All that it printed so far. */
  output(): Promise<string> {
    return readFile(this.logFile, 'utf8');
  }

  /** Its exit code; null when a signal ended it. */
  async ended(): Promise<number | null> {
    return (await this.child.exited).code;
  }

  /** Ctrl-C: the terminal tells all of its foreground. */
  async interrupt(): Promise<number | null> {
    if (this.child.isRunning) process.kill(-this.child.pid, 'SIGINT');
    return this.ended();
  }
}

/** Nothing of the npm that runs this process. */
function freshEnvironment(): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_|^NODE|^INIT_CWD$/i.test(name));
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((part) => !part.includes('node_modules'));
  return { ...Object.fromEntries(own), PATH: path.join(delimiter) };
}
