import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';

/** What draws: tens of megabytes, for the threads alone. */
const HEAVY = ['pdfkit', 'fontkit', 'subset-font', 'bwip-js'];

async function packagesOf(entry: string): Promise<readonly string[]> {
  const { metafile } = await build({
    entryPoints: [join(import.meta.dirname, entry)],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    tsconfig: join(import.meta.dirname, '../../../tsconfig.base.json'),
    metafile: true,
    write: false,
    logLevel: 'error',
  });
  return Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
}

describe('what draws tickets', () => {
  it('is loaded by the threads, and never by the service itself', async () => {
    expect(await packagesOf('ticket-thread.ts')).toEqual(expect.arrayContaining(HEAVY));
    const service = await packagesOf('main.ts');
    expect(service).toContain('piscina');
    expect(HEAVY.filter((name) => service.includes(name))).toEqual([]);
  });
});
