import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AllowedAddressesSetting, HubAddressesSetting, PublicHostsSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting, secretsConfig } from '@heddle/secrets';
import { z } from 'zod';

const milliseconds = (min: number, max: number, initial: number, description: string) =>
  z.coerce.number().int().min(min).max(max).default(initial).describe(description);
const MIB = 1024 * 1024;

/** What every outbound worker reads. */
export const workerConfig = {
  ...serviceConfig,
  ...kafkaConfig,
  ...secretsConfig,
  SERVICE_TOKEN_KEYS: KeyringSetting.describe(
    'Keys of service tokens, kid:base64 of 32 bytes, comma-separated; the first signs.',
  ),
  STORE_URL: z.url({ protocol: /^https?$/ }).describe('Internal address of the association store.'),
  DISPATCHER_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Internal address of the dispatcher; deliveries never go there.'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .describe('Base address that users see: links stand below it, deliveries never go there.'),
  PUBLIC_HOSTS: PublicHostsSetting,
  OUTBOUND_ALLOWED_ADDRESSES: AllowedAddressesSetting,
  HUB_ADDRESSES: HubAddressesSetting,
  ATTEMPT_POOL: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_024)
    .default(128)
    .describe('Attempts made at one time; one integration holds at most an eighth of them.'),
  ATTEMPT_TIMEOUT_MS: milliseconds(1_000, 3_600_000, 600_000, 'Longest time of one attempt.'),
  CONNECT_TIMEOUT_MS: milliseconds(100, 120_000, 10_000, 'Longest time to connect to a source or a target.'),
  SILENCE_TIMEOUT_MS: milliseconds(100, 600_000, 30_000, 'Longest silence of a source or a target.'),
  PROGRESS_INTERVAL_MS: milliseconds(100, 10_000, 3_000, 'Between reports of running attempts.'),
  LEASE_MS: milliseconds(
    1_000,
    40_000,
    30_000,
    'An attempt that could not be reported for so long is given up; sooner where its offer says so.',
  ),
  SPOOL_DIR: z
    .string()
    .default(join(tmpdir(), 'heddle-spool'))
    .describe('Folder of this machine for fetched files above 1 MiB.'),
  SPOOL_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(MIB)
    .default(4_096 * MIB)
    .describe('Room for fetched files; fetches wait while it is full.'),
  MAX_FILE_BYTES: z.coerce
    .number()
    .int()
    .min(1)
    .default(1_024 * MIB)
    .describe('Largest file that is delivered.'),
} as const;
export const WorkerConfig = z.object(workerConfig);
export type WorkerConfig = z.infer<typeof WorkerConfig>;
