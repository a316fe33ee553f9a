import { join } from 'node:path';

import { workspaceRoot } from '@heddle/testing';
import { build } from 'esbuild';

const root = workspaceRoot();

/** What the threads of tickets run, built as the apps are. @returns its file. */
export async function buildThread(entry: string): Promise<string> {
  const name = entry.replace(/^.*\//, '').replace(/\.ts$/, '');
  const outfile = join(root, 'tmp', `${name}.${String(process.pid)}.mjs`);
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    packages: 'external',
    tsconfig: join(root, 'tsconfig.base.json'),
    logLevel: 'error',
  });
  return outfile;
}

export async function buildTicketThread(): Promise<string> {
  return await buildThread(join(import.meta.dirname, '..', 'src', 'ticket-thread.ts'));
}
