import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/**
 * Ends our children when this process is gone, however it went: a SIGKILL runs no handler of ours, but it closes the
 * pipe that the guard reads. One small shell per process with children, in a session of its own so that Ctrl-C
 * reaches neither it nor them.
 */
const SCRIPT = `
trap '' INT TERM HUP
pids=' '
while read -r op pid; do
  case "$op$pids" in
    -*" $pid "*) pids="\${pids%% "$pid" *} \${pids#* "$pid" }" ;;
    +*) pids="$pids$pid " ;;
  esac
done
for pid in $pids; do kill -9 "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null; done
`;

let guard: ChildProcess | undefined;
const guarded = new Set<number>();

export function guardProcess(pid: number): void {
  if (guarded.has(pid)) return;
  guarded.add(pid);
  guard ??= startGuard();
  guard.stdin?.write(`+ ${pid}\n`);
}

/** To be called when the child is gone, before its pid can belong to another process. */
export function unguardProcess(pid: number): void {
  if (!guarded.delete(pid)) return;
  guard?.stdin?.write(`- ${pid}\n`);
  if (guarded.size > 0) return;
  guard?.stdin?.end();
  guard = undefined;
}

function startGuard(): ChildProcess {
  const child = spawn('/bin/sh', ['-c', SCRIPT], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  // A pipe to a child is a socket, which keeps the event loop alive unless told otherwise.
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
