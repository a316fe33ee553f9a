import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** A process, told apart from a later one that got the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: when it began, on which boot. */
  readonly began: string;
}

/** @returns undefined when no such process runs; a zombie does not run. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const began = process.platform === 'linux' ? beganOnLinux(pid) : beganElsewhere(pid);
  return began === undefined ? undefined : { pid, began };
}

export function isRunning(process: ProcessIdentity): boolean {
  return identityOf(process.pid)?.began === process.began;
}

/** Pids mean something only inside their namespace: containers may share a temp folder. */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return 'only';
  }
}

export function childrenOf(parent: number): readonly number[] {
  if (process.platform !== 'linux') {
    try {
      const output = execFileSync('pgrep', ['-P', String(parent)], { encoding: 'utf8' });
      return output.trim().split('\n').map(Number);
    } catch {
      return [];
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => statOf(pid)?.[1] === String(parent));
}

/** The fields of /proc/<pid>/stat after the command's name: state, parent, ... */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function beganOnLinux(pid: number): string | undefined {
  const stat = statOf(pid);
  if (stat === undefined || stat[0] === 'Z' || stat[0] === 'X') return undefined;
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return `${boot}:${stat[19] ?? ''}`;
}

function beganElsewhere(pid: number): string | undefined {
  try {
    const [state = '', ...began] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    })
      .trim()
      .split(/\s+/);
    return state === '' || state.startsWith('Z') ? undefined : began.join(' ');
  } catch {
    return undefined;
  }
}

/** Its children, theirs, and so on. */
export function descendantsOf(ancestor: number): readonly number[] {
  return childrenOf(ancestor).flatMap((pid) => [pid, ...descendantsOf(pid)]);
}
