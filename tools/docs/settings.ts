import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { build } from 'esbuild';
import { z } from 'zod';

/** One table of environment variables for each app, from the `Config` that it starts with. */
export async function settingsPage(root: string): Promise<string> {
  const tables: string[] = [];
  for (const app of (await readdir(join(root, 'apps'))).sort()) {
    const source = join(root, 'apps', app, 'src', 'config.ts');
    const isThere = await stat(source).then(
      () => true,
      () => false,
    );
    if (isThere) tables.push(tableOf(app, await configOf(root, source)));
  }
  return [
    '# Settings',
    'Environment variables of each app. A variable that is empty counts as absent.',
    ...tables,
  ].join('\n\n');
}

/** Apps are no libraries: their schema is read from a bundle of it, as a file. */
async function configOf(root: string, source: string): Promise<z.ZodObject> {
  const folder = await mkdtemp(join(root, 'dist', 'tools', 'docs', 'config-'));
  try {
    const outfile = join(folder, 'config.mjs');
    await build({
      entryPoints: [source],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      tsconfig: join(root, 'tsconfig.base.json'),
      logLevel: 'error',
    });
    const { Config } = (await import(pathToFileURL(outfile).href)) as { Config?: unknown };
    if (!(Config instanceof z.ZodObject)) throw new TypeError(`${source} exports no Config`);
    return Config;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function tableOf(app: string, config: z.ZodObject): string {
  const rows = Object.entries(config.shape)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, schema]) => {
      const setting = schema as z.ZodType;
      return `| \`${name}\` | ${defaultOf(setting)} | ${(setting.description ?? '').replaceAll('|', '\\|')} |`;
    });
  return [`## ${app}`, '', '| variable | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

function defaultOf(setting: z.ZodType): string {
  const absent = setting.safeParse(undefined);
  if (!absent.success) return 'required';
  const value = absent.data;
  if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) return '';
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return `\`${String(value)}\``;
  return Array.isArray(value) ? `\`${value.join(',')}\`` : '';
}
