import { readFileSync, readdirSync } from 'node:fs';

const STOPPED_WITHIN_MS = 1_000;

/** @returns false when there is no such process (group) or it is another user's */
export function trySignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** SIGKILL, to a process and its group. */
export function killGroup(pid: number): void {
  if (!trySignal(-pid, 'SIGKILL')) trySignal(pid, 'SIGKILL');
}

/**
 * SIGSTOP, and returns when it has taken effect: on a busy machine the threads of a JVM go on for a while, and may
 * answer a request that was sent after the signal.
 */
export function stopProcess(pid: number): void {
  if (!trySignal(pid, 'SIGSTOP')) return;
  const deadline = performance.now() + STOPPED_WITHIN_MS;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (isMoving(pid) && performance.now() < deadline) Atomics.wait(pause, 0, 0, 1);
}

function isMoving(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((task) => {
      const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
      return !['T', 't', 'Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '');
    });
  } catch {
    // Gone meanwhile, or a system without /proc.
    return false;
  }
}
