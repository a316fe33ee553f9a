import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const SCRIPT = 'tools/bootstrap/ensure-dependencies.mjs';
let workspace: string;

function write(path: string, text: string): void {
  mkdirSync(dirname(join(workspace, path)), { recursive: true });
  writeFileSync(join(workspace, path), text);
}

const lock = (version: string) =>
  JSON.stringify({
    packages: {
      '': {},
      'node_modules/a': { version },
      'node_modules/b': { version: '1.0.0', optional: true },
    },
  });

/** An `npm` that notes how it was called and does as told. */
function npm(script: string): void {
  write('bin/npm', `#!/bin/sh\necho "npm $*" >> calls\n${script}\n`);
  chmodSync(join(workspace, 'bin/npm'), 0o755);
}

const INSTALLS = `mkdir -p node_modules/.bin
cp package-lock.json node_modules/.package-lock.json
printf '#!/bin/sh\\nexit 0\\n' > node_modules/.bin/node && chmod +x node_modules/.bin/node`;

async function ensure(
  path = `${workspace}/bin:/usr/bin:/bin`,
): Promise<{ code: number; said: string; calls: number }> {
  return new Promise((done) => {
    execFile(process.execPath, [SCRIPT], { cwd: workspace, env: { PATH: path } }, (error, stdout, stderr) => {
      execFile('cat', [join(workspace, 'calls')], (_, calls) => {
        done({ code: error ? 1 : 0, said: stdout + stderr, calls: calls.split('\n').filter(Boolean).length });
      });
    });
  });
}

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), 'heddle-dependencies-'));
  cpSync(join(import.meta.dirname, 'ensure-dependencies.mjs'), join(workspace, SCRIPT));
  write('package-lock.json', lock('1.0.0'));
  npm(INSTALLS);
});

afterEach(() => {
  rmSync(workspace, { recursive: true, force: true });
});

describe('dependencies', () => {
  it('are installed once, and again when the lockfile changes', async () => {
    expect(await ensure()).toMatchObject({ code: 0, calls: 1 });
    expect(await ensure()).toMatchObject({ code: 0, calls: 1, said: '' });
    write('package-lock.json', lock('1.0.1'));
    expect(await ensure()).toMatchObject({ code: 0, calls: 2 });
  });

  it('are installed again when their Node does not run on this machine', async () => {
    await ensure();
    write('node_modules/.bin/node', '#!/bin/sh\nexit 1\n');
    expect(await ensure()).toMatchObject({ code: 0, calls: 2 });
  });

  it('do without packages of other platforms, and not without any other', async () => {
    write(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
    );
    npm(`${INSTALLS}\necho '{"packages":{}}' > node_modules/.package-lock.json`);
    const { code, said } = await ensure();
    expect(code).toBe(1);
    expect(said).toContain('node_modules/a is missing');
    expect(said).not.toContain('node_modules/b');
  });

  it.each([
    ['npm error code ENOSPC', 'the disk is full'],
    ['npm error code ENOTFOUND', 'did not answer'],
    ['npm error code E403', 'refused access'],
    ['npm error something new', 'its words are above'],
  ])('end with a sentence when npm says %j', async (words, sentence) => {
    npm(`echo "${words}" >&2; exit 1`);
    const { code, said } = await ensure();
    expect(code).toBe(1);
    expect(said).toContain(words);
    expect(said).toContain(sentence);
    expect(said).not.toContain('    at ');
  });

  it('end with a sentence when there is no npm', async () => {
    const { code, said } = await ensure(join(workspace, 'nowhere'));
    expect(code).toBe(1);
    expect(said).toContain('npm was not found');
  });
});
