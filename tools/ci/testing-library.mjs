/**
 * Jest loads its global set-up as plain ESM, without the TypeScript transform: libs/testing is bundled first.
 * @returns the library's exports
 */
import { mkdir, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { build, stop } from 'esbuild';

export async function loadTestingLibrary() {
  const root = resolve(import.meta.dirname, '../..');
  const folder = join(root, 'tmp', 'testing');
  const part = join(folder, `index-${process.pid}.mjs`);
  const bundle = join(folder, 'index.mjs');
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: ['libs/testing/src/index.ts'],
    outfile: part,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node24',
    tsconfig: 'tsconfig.base.json',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  await stop();
  await rename(part, bundle);
  return import(pathToFileURL(bundle).href);
}
