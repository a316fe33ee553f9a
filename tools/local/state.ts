import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { z } from 'zod';

/** What one start leaves for the next: ports, keys and the identity of the demo. */
const LocalState = z.object({
  secretsKey: z.string(),
  serviceTokenKeys: z.string(),
  /** By name of what listens. */
  ports: z.record(z.string(), z.int()).default({}),
  /** Each start shows a request with an order number that is new. */
  starts: z.int().default(0),
  apiKey: z.string().optional(),
  adminApiKey: z.string().optional(),
  /** The integrations to the sandboxes, by destination, and what they were last given: it holds secrets. */
  integrations: z
    .record(z.string(), z.object({ integrationId: z.string(), settings: z.record(z.string(), z.unknown()) }))
    .default({}),
  /** The database that the keys are in: with another one they are made anew. */
  database: z.string().optional(),
});
export type LocalState = z.infer<typeof LocalState>;

function newKeyring(): string {
  return `local:${randomBytes(32).toString('base64')}`;
}

export async function readState(path: string): Promise<LocalState> {
  try {
    return LocalState.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
      throw new Error(`${path} cannot be read: remove its folder and start again.`, { cause: error });
    }
    return {
      secretsKey: newKeyring(),
      serviceTokenKeys: newKeyring(),
      ports: {},
      starts: 0,
      integrations: {},
    };
  }
}

/** Holds secrets: readable by its owner alone, replaced whole. */
export async function writePrivate(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${String(process.pid)}.tmp`;
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  await rename(temporary, path);
}
