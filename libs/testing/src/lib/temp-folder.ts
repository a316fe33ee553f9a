import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { endLeftover } from './child.js';
import { identityOf, isRunning, pidNamespace } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';

const PREFIX = 'heddle-';
const OWNER = '.owner.json';
export const PID_FILE = 'process.json';

interface Owner {
  readonly owner: ProcessIdentity;
  readonly namespace: string;
}

let swept: Promise<void> | undefined;

/** A folder of this process; if the process is killed before it removes it, a later one does. */
export async function temporaryFolder(kind: string): Promise<string> {
  swept ??= sweep();
  await swept;
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${kind}-`));
  // Another user may have to pass through: PostgreSQL refuses to run as root.
  chmodSync(folder, 0o711);
  const owner = identityOf(process.pid);
  if (owner !== undefined) {
    writeFileSync(join(folder, OWNER), JSON.stringify({ owner, namespace: pidNamespace() } satisfies Owner));
  }
  return folder;
}

/** Removes what killed processes left: their children first, then their data. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(PREFIX))) {
    const folder = join(tmpdir(), name);
    try {
      const { owner, namespace } = JSON.parse(readFileSync(join(folder, OWNER), 'utf8')) as Owner;
      if (namespace !== pidNamespace() || isRunning(owner)) continue;
      for (const part of ['.', ...readdirSync(folder)]) {
        await endLeftover(join(folder, part, PID_FILE), `what ${folder} belongs to`);
      }
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Not ours, or another process sweeps it at this moment.
    }
  }
}
