import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { isRunning } from '@heddle/testing';

/** `local.json`: what a running local Heddle says about itself. Holds keys: mode 0600. */
export const LocalFile = z.object({
  baseUrl: z.url(),
  tenant: z.string(),
  apiKey: z.string(),
  adminApiKey: z.string(),
  kafkaBrokers: z.string(),
  /** Variables that tell a service how to reach Kafka, a login included. */
  kafka: z.record(z.string(), z.string()),
  databaseUrl: z.string(),
  services: z.array(
    z.object({
      name: z.string(),
      pid: z.int(),
      url: z.string(),
      metricsUrl: z.string(),
      logFile: z.string(),
    }),
  ),
  sandbox: z.object({
    sftp: z.object({ host: z.string(), port: z.int(), username: z.string(), directory: z.string() }),
    /** The directory gets a folder for each mail. */
    smtp: z.object({ host: z.string(), port: z.int(), directory: z.string(), url: z.string() }),
    files: z.object({ baseUrl: z.string(), directory: z.string() }),
    /** The directory gets a file for each call. */
    zapier: z.object({ hookUrl: z.string(), directory: z.string() }),
    /** Absent until it runs; each object is a file of the directory. */
    s3: z
      .object({
        endpoint: z.string(),
        region: z.string(),
        bucket: z.string(),
        accessKey: z.string(),
        secretKey: z.string(),
        directory: z.string(),
      })
      .optional(),
    /** Absent until it runs; the signature also allows to read and to list. */
    azureBlob: z.object({ connectionString: z.string(), container: z.string() }).optional(),
  }),
  /** The process that started it all, told apart from a later one with its pid. */
  pid: z.int(),
  began: z.string(),
});
export type LocalFile = z.infer<typeof LocalFile>;

/**
 * @param directory with all data of the Heddle that is meant, as HEDDLE_DIRECTORY names it.
 * @throws when nothing runs there.
 */
export async function readLocalFile(directory = '.heddle'): Promise<LocalFile> {
  const text = await readFile(join(directory, 'local.json'), 'utf8').catch(() => undefined);
  const local = text === undefined ? undefined : LocalFile.parse(JSON.parse(text));
  if (local === undefined || !isRunning(local)) {
    throw new Error('No Heddle runs here: start one with `npm start` in another terminal.');
  }
  return local;
}
