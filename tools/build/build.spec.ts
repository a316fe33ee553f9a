import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
let workspace: string;

function write(path: string, text: string): void {
  mkdirSync(dirname(join(workspace, path)), { recursive: true });
  writeFileSync(join(workspace, path), text);
}

async function node(...args: string[]): Promise<string> {
  const run = promisify(execFile);
  return run(process.execPath, args, { cwd: workspace }).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => {
      throw new Error(String((error as { stderr?: unknown }).stderr));
    },
  );
}

const build = (...args: string[]) => node('tools/build/build.mjs', ...args);

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), 'heddle-build-'));
  for (const path of ['tools/build/build.mjs', 'tsconfig.base.json', 'package.json', 'package-lock.json']) {
    cpSync(join(root, path), join(workspace, path));
  }
  symlinkSync(join(root, 'node_modules'), join(workspace, 'node_modules'));
  write(
    'libs/platform/src/index.ts',
    `import { Injectable } from '@nestjs/common';
     @Injectable() export class Clock { readonly now = 7; }
     @Injectable() export class Teller { constructor(readonly clock: Clock) {} }`,
  );
  write(
    'apps/dispatcher/src/main.ts',
    `import 'reflect-metadata';
     import { Teller } from '@heddle/platform';
     const injected = Reflect.getMetadata('design:paramtypes', Teller) as { name: string }[];
     console.log(Teller.name, injected.map(({ name }) => name).join());`,
  );
});

afterEach(() => {
  rmSync(workspace, { recursive: true, force: true });
});

describe('the build', () => {
  it('bundles libraries, keeps packages outside, and keeps what injection reads', async () => {
    await build();
    expect(await node('dist/apps/dispatcher/main.js')).toBe('Teller Clock');
    const code = readFileSync(join(workspace, 'dist/apps/dispatcher/main.node24.js'), 'utf8');
    expect(code).toContain('from "@nestjs/common"');
    expect(code).not.toContain('@heddle/');
  });

  it('keeps what a thread loads as the module that it is', async () => {
    write('apps/dispatcher/src/ticket-thread.ts', `export const draw = (): string => 'drawn';`);
    await build();
    const thread = JSON.stringify(join(workspace, 'dist/apps/dispatcher/ticket-thread.js'));
    expect(await node('-e', `import(${thread}).then(({ draw }) => console.log(draw()))`)).toBe('drawn');
  });

  it('leaves alone what has not changed, and builds again what has', async () => {
    expect(await build()).toMatch(/^built apps\/dispatcher; 0 unchanged/);
    expect(await build()).toMatch(/^built nothing; 1 unchanged/);
    write('libs/platform/src/index.ts', 'export class Teller {}');
    expect(await build()).toMatch(/^built apps\/dispatcher; 0 unchanged/);
    rmSync(join(workspace, 'dist/apps/dispatcher/main.js'));
    expect(await build()).toMatch(/^built apps\/dispatcher; 0 unchanged/);
  });

  it('passes on from an older Node to its own, and loads no package before that', async () => {
    await build();
    const older =
      "data:text/javascript,Object.defineProperty(process.versions, 'node', { value: '20.20.2' }); globalThis.older = 1;";
    write(
      'apps/dispatcher/src/main.ts',
      "import 'undici'; console.log(Object.keys(globalThis).includes('older'), process.argv.slice(2).join());",
    );
    await build();
    expect(await node('--import', older, 'dist/apps/dispatcher/main.js', 'one', 'two')).toBe('false one,two');
    expect(readFileSync(join(workspace, 'dist/apps/dispatcher/main.js'), 'utf8')).not.toMatch(/^import /m);
  });

  it('copies assets, and notices a new one', async () => {
    write('apps/dispatcher/src/assets/page.html', 'one');
    await build();
    write('apps/dispatcher/src/assets/style.css', 'two');
    await build();
    expect(readFileSync(join(workspace, 'dist/apps/dispatcher/assets/page.html'), 'utf8')).toBe('one');
    expect(readFileSync(join(workspace, 'dist/apps/dispatcher/assets/style.css'), 'utf8')).toBe('two');
  });

  it('removes the output of what is gone', async () => {
    write('tools/demo/main.ts', 'console.log(1);');
    await build();
    rmSync(join(workspace, 'tools/demo'), { recursive: true });
    await build();
    expect(existsSync(join(workspace, 'dist/tools/demo/main.js'))).toBe(false);
    expect(existsSync(join(workspace, 'dist/apps/dispatcher/main.js'))).toBe(true);
  });

  it('names the place of a fault, builds the rest, and fails', async () => {
    write('tools/demo/main.ts', 'const = 1;');
    await expect(build()).rejects.toThrow('tools/demo/main.ts:1:6');
    expect(await node('dist/apps/dispatcher/main.js')).toBe('Teller Clock');
  });

  it('refuses a library that has no path', async () => {
    write('tools/demo/main.ts', "import { x } from '@heddle/nowhere'; console.log(x);");
    await expect(build()).rejects.toThrow('@heddle/nowhere is not in the paths');
  });
});
