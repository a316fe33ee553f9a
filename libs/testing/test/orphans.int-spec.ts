import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';

import { eventually, workspaceRoot } from '@heddle/testing';

import { endLeftover } from '../src/lib/child.js';
import { identityOf } from '../src/lib/process-identity.js';

const owner = join(workspaceRoot(), 'libs/testing/test/fixtures/owner.mjs');
let folder: string;
let library: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orphans-'));
  library = join(folder, 'child.mjs');
  await build({
    entryPoints: [join(workspaceRoot(), 'libs/testing/src/lib/child.ts')],
    outfile: library,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startOwner(how: string): Promise<{ owner: ReturnType<typeof spawn>; childPid: number }> {
  const process_ = spawn(process.execPath, [owner, library, folder, how], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = (await once(process_.stdout.setEncoding('utf8'), 'data')) as [string];
  return { owner: process_, childPid: Number(line) };
}

describe('no child outlives its owner', () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)('when the owner gets %s', async (signal) => {
    const { owner: process_, childPid } = await startOwner('wait');
    expect(identityOf(childPid)).toBeDefined();
    process_.kill(signal);
    await eventually(() => expect(identityOf(childPid)).toBeUndefined(), { withinMs: 3_000 });
  });

  it.each(['exit', 'throw'])('when the owner ends by %s', async (how) => {
    const { childPid } = await startOwner(how);
    await eventually(() => expect(identityOf(childPid)).toBeUndefined(), { withinMs: 3_000 });
  });

  it('and where the guard was killed as well, the next start ends the child', async () => {
    const { owner: process_, childPid } = await startOwner('wait');
    const pidFile = join(folder, 'process.json');
    await eventually(() => expect(existsSync(pidFile)).toBe(true), { withinMs: 2_000 });
    await expect(endLeftover(pidFile, 'the child')).rejects.toThrow(/already running for process/);

    const guard = guardOf(process_.pid!);
    process.kill(guard, 'SIGKILL');
    process_.kill('SIGKILL');
    await once(process_, 'exit');
    expect(identityOf(childPid)).toBeDefined();

    await endLeftover(pidFile, 'the child');
    expect(identityOf(childPid)).toBeUndefined();
    expect(existsSync(pidFile)).toBe(false);
  });
});

/** The shell among the owner's children. */
function guardOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.find((child) => readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'sh')!;
}
