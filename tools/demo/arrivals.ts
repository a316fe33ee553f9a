import { readFile, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import type { DestinationKind } from '@heddle/contracts';
import { listBlobs } from '@heddle/testing';

import type { LocalFile } from '../local/local-file.js';

/** One file as it stands at a sandbox. A hook gets links: those have no bytes. */
export interface Arrived {
  readonly name: string;
  readonly sizeBytes: number | null;
}

const HookCall = z.object({
  body: z.object({ files: z.array(z.object({ name: z.string() })).default([]) }),
});

/** Everything that stands at each sandbox by now. */
export async function arrivals({
  sandbox,
}: LocalFile): Promise<ReadonlyMap<DestinationKind, readonly Arrived[]>> {
  const { sftp, smtp, zapier, s3, azureBlob } = sandbox;
  return new Map<DestinationKind, readonly Arrived[]>([
    ['email', await filesBelow(smtp.directory)],
    ['sftp', await filesBelow(sftp.directory)],
    ...(s3 ? [['s3', await filesBelow(s3.directory)] as const] : []),
    ...(azureBlob ? [['azure-blob', await blobs(azureBlob)] as const] : []),
    ['zapier', await linksIn(zapier.directory)],
  ]);
}

async function filesBelow(directory: string): Promise<readonly Arrived[]> {
  const names = await readdir(directory, { recursive: true }).catch((): string[] => []);
  return await Promise.all(
    names.map(async (name) => ({
      name: basename(name),
      sizeBytes: (await stat(join(directory, name))).size,
    })),
  );
}

async function blobs({
  connectionString,
  container,
}: {
  readonly connectionString: string;
  readonly container: string;
}): Promise<readonly Arrived[]> {
  const found = await listBlobs(connectionString, container);
  return found.map(({ name, sizeBytes }) => ({ name: basename(name), sizeBytes }));
}

/** Each call is a file of JSON. */
async function linksIn(directory: string): Promise<readonly Arrived[]> {
  const names = await readdir(directory).catch((): string[] => []);
  const calls = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  return calls.flatMap((text) => {
    const call = HookCall.safeParse(JSON.parse(text));
    return call.success ? call.data.body.files.map(({ name }) => ({ name, sizeBytes: null })) : [];
  });
}
