import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const Versions = z.record(z.string(), z.string());
const manifest = z
  .object({
    dependencies: Versions,
    devDependencies: Versions,
    optionalDependencies: Versions,
    overrides: Versions,
  })
  .parse(JSON.parse(read('package.json')));
const projects = ['apps', 'libs'].flatMap((folder) =>
  readdirSync(join(root, folder)).map((name) => `${folder}/${name}`),
);

describe('the repository', () => {
  it('names exact versions only', () => {
    const ranges = Object.values(manifest)
      .flatMap((versions) => Object.entries(versions))
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version));
    expect(ranges).toEqual([]);
  });

  it('locks packages by their content, and by no registry', () => {
    const lock = z
      .object({ packages: z.record(z.string(), z.object({ integrity: z.string().optional() })) })
      .parse(JSON.parse(read('package-lock.json')));
    const loose = Object.entries(lock.packages).filter(([path, { integrity }]) => path !== '' && !integrity);
    // Packages inside another package's own archive come with its integrity.
    expect(loose.filter(([path]) => !/node_modules\/.+\/node_modules\//.test(path))).toEqual([]);
    expect(read('package-lock.json')).not.toContain('"resolved"');
  });

  it.each(projects)('gives %s a name, tags and a page to read', (project) => {
    const { name, tags } = z
      .object({ name: z.string(), tags: z.array(z.string()) })
      .parse(JSON.parse(read(`${project}/project.json`)));
    expect(project.endsWith(`/${name}`)).toBe(true);
    expect(tags.some((tag) => tag.startsWith('type:')) && tags.some((tag) => tag.startsWith('scope:'))).toBe(
      true,
    );
    expect(existsSync(join(root, project, 'README.md'))).toBe(true);
  });

  it('resolves every library by its name, and nothing else', () => {
    const { compilerOptions } = z
      .object({ compilerOptions: z.object({ paths: z.record(z.string(), z.array(z.string())) }) })
      .parse(JSON.parse(read('tsconfig.base.json')));
    const libraries = readdirSync(join(root, 'libs'));
    expect(compilerOptions.paths).toEqual(
      Object.fromEntries(libraries.map((name) => [`@heddle/${name}`, [`./libs/${name}/src/index.ts`]])),
    );
  });
});
