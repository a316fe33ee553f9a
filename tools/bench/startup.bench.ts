import { execFileSync } from 'node:child_process';
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { freePort, temporaryFolder, workspaceRoot } from '@heddle/testing';

import { readLocalFile } from '../local/local-file.js';
import { StartCommand } from '../local/start-command.js';

import type { BenchRow } from './bench-row.js';
import { cpuMsOf } from './process-facts.js';

const COLD_AIM_S = 240;
const WARM_AIM_S = 20;
const IDLE_AIM_PERCENT = 10;
const IDLE_MS = 20_000;

/** `npm start` on a fresh clone and again, each until the first 202; then what it costs to run idle. */
export async function startupBench(): Promise<readonly BenchRow[]> {
  const clone = join(await temporaryFolder('clone'), 'heddle');
  execFileSync('git', ['clone', '--quiet', workspaceRoot(), clone]);
  const port = await freePort();
  try {
    const cold = await untilAccepted(clone, port, 'COLD');
    await cold.command.interrupt();
    const warm = await untilAccepted(clone, port, 'WARM');
    const idle = await idlePercent(clone);
    await warm.command.interrupt();
    return [
      {
        figure: 'npm start to first 202, fresh clone',
        value: `${cold.seconds.toFixed(0)} s`,
        aim: `<= ${String(COLD_AIM_S)} s`,
        holds: cold.seconds <= COLD_AIM_S,
      },
      {
        figure: 'npm start to first 202, warm',
        value: `${warm.seconds.toFixed(1)} s`,
        aim: `<= ${String(WARM_AIM_S)} s`,
        holds: warm.seconds <= WARM_AIM_S,
      },
      {
        figure: 'idle CPU of the whole, of one core',
        value: `${idle.total.toFixed(1)} % (${idle.parts})`,
        aim: `<= ${String(IDLE_AIM_PERCENT)} %`,
        holds: idle.total <= IDLE_AIM_PERCENT,
      },
    ];
  } finally {
    await rm(clone, { recursive: true, force: true });
  }
}

async function untilAccepted(
  clone: string,
  port: number,
  orderNumber: string,
): Promise<{ seconds: number; command: StartCommand }> {
  const startedAt = performance.now();
  const command = await StartCommand.run({
    root: clone,
    logFile: join(clone, 'start.log'),
    env: { PORT: String(port) },
  });
  const line = [{ recipeId: 'DRIVE-001', orderNumber, itemId: '1', itemQuantity: 1 }];
  for (;;) {
    if (!command.isRunning) {
      const said = (await command.output()).trim().split('\n').slice(-4).join(' | ');
      throw new Error(`npm start ended with code ${String(await command.ended())}: ${said}`);
    }
    const status = await readLocalFile(join(clone, '.heddle'))
      .then(
        async (local) =>
          (
            await fetch(new URL('/api/v2/recipe/order', local.baseUrl), {
              method: 'POST',
              headers: { authorization: `Bearer ${local.apiKey}`, 'content-type': 'application/json' },
              body: JSON.stringify(line),
            })
          ).status,
        () => 0,
      )
      .catch(() => 0);
    if (status === 202) return { seconds: (performance.now() - startedAt) / 1_000, command };
    await delay(100);
  }
}

async function idlePercent(clone: string): Promise<{ total: number; parts: string }> {
  await delay(10_000);
  const local = await readLocalFile(join(clone, '.heddle'));
  const pids = new Map<string, number[]>(local.services.map(({ name, pid }) => [name, [pid]]));
  pids.set('supervisor and sandboxes', [local.pid]);
  for (const name of ['java', 'postgres']) pids.set(name, await descendants(local.pid, name));
  const cpu = (list: readonly number[]): number =>
    list.reduce((sum, pid) => {
      try {
        return sum + cpuMsOf(pid);
      } catch {
        return sum;
      }
    }, 0);
  const before = new Map([...pids].map(([name, list]) => [name, cpu(list)]));
  await delay(IDLE_MS);
  const percent = [...pids].map(
    ([name, list]) => [name, ((cpu(list) - (before.get(name) ?? 0)) / IDLE_MS) * 100] as const,
  );
  return {
    total: percent.reduce((sum, [, part]) => sum + part, 0),
    parts: percent.map(([name, part]) => `${name} ${part.toFixed(1)}`).join(', '),
  };
}

/** Processes of a command's name below `parent`. */
async function descendants(parent: number, command: string): Promise<number[]> {
  const processes = new Map<number, { parent: number; command: string }>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const text = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => undefined);
    const match = text === undefined ? null : /^\d+ \((.*)\) \S (\d+)/.exec(text);
    if (match !== null) processes.set(Number(entry), { parent: Number(match[2]), command: match[1] ?? '' });
  }
  const isBelow = (pid: number): boolean => {
    const found = processes.get(pid);
    return found !== undefined && (found.parent === parent || isBelow(found.parent));
  };
  return [...processes]
    .filter(([pid, found]) => found.command.startsWith(command) && isBelow(pid))
    .map(([pid]) => pid);
}
