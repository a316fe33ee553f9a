import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

import { identityOf, isRunning, pidNamespace } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';

/** Below the range from which systems take the local ports of outgoing connections (Linux: 32768 and up). */
const FIRST = 20_000;
const COUNT = 12_000;

/**
 * A TCP port of 127.0.0.1 that nobody listens on. It stays reserved for this process among all that use this function,
 * so a server may be stopped and started again on it.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (reserve(port) && (await isPortFree(port))) return port;
  }
  throw new Error(`no free port among ${FIRST} to ${FIRST + COUNT - 1}`);
}

export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function reserve(port: number): boolean {
  const folder = join(
    tmpdir(),
    `heddle-ports-${userInfo().username}-${pidNamespace().replaceAll(/\D/g, '')}`,
  );
  mkdirSync(folder, { recursive: true });
  const file = join(folder, String(port));
  // The second try is for a port whose owner is dead.
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, JSON.stringify(identityOf(process.pid) ?? null), { flag: 'wx' });
      return true;
    } catch {
      if (!isAbandoned(file)) return false;
      rmSync(file, { force: true });
    }
  }
  return false;
}

function isAbandoned(file: string): boolean {
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity | null;
    return owner === null || !isRunning(owner);
  } catch {
    return false;
  }
}
