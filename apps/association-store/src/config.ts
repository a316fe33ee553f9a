import { TICKET_PAPERS } from '@heddle/contracts';
import { AllowedAddressesSetting, HubAddressesSetting, PublicHostsSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { databaseConfig } from '@heddle/persistence';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting } from '@heddle/secrets';
import { z } from 'zod';

/** One by one. */
export const Settings = z.object({
  ...serviceConfig,
  ...kafkaConfig,
  ...databaseConfig,
  SERVICE_TOKEN_KEYS: KeyringSetting.describe(
    'Keys of the tokens between services: kid:base64, comma-separated.',
  ),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((text) => new URL(text))
    .describe('Base address under which the outside reaches the hub; recipe addresses start with it.'),
  PUBLIC_HOSTS: PublicHostsSetting,
  DISPATCHER_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Internal address of the dispatcher; previews are never fetched from there.'),
  OUTBOUND_ALLOWED_ADDRESSES: AllowedAddressesSetting,
  HUB_ADDRESSES: HubAddressesSetting,
  TICKET_PAPER: z
    .enum(TICKET_PAPERS)
    .default('a4')
    .describe('Paper of pick tickets: a4 or letter, where a request asks for no other.'),
  TICKET_THREADS: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('Pick tickets drawn at one time, each in a thread of its own; idle threads end.'),
  TICKET_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(500)
    .max(60_000)
    .default(15_000)
    .describe('Longest drawing of one pick ticket, in milliseconds; its thread is ended then.'),
  WAITING_ALERT_MS: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(365 * 86_400_000)
    .default(86_400_000)
    .describe(
      'Items that wait longer for their recipe are counted as overdue and named in the log, in milliseconds.',
    ),
  FILES_STORAGE: z
    .enum(['local', 's3', 'azure-blob'])
    .default('local')
    .describe('Where uploaded files are kept.'),
  FILES_DIR: z
    .string()
    .default('data/files')
    .describe(
      'local: folder of uploaded files, to be kept as the database is; all processes of the store share it.',
    ),
  FILES_PREFIX: z
    .string()
    .regex(/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*$/, 'must be empty, or end with a slash')
    .default('')
    .describe('s3, azure-blob: what the names of all objects start with, such as heddle/.'),
  FILES_S3_BUCKET: z.string().optional().describe('s3: the bucket.'),
  FILES_S3_REGION: z.string().default('us-east-1').describe('s3: the region of the bucket.'),
  FILES_S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('s3: address of a compatible store.'),
  FILES_S3_ACCESS_KEY: z
    .string()
    .optional()
    .describe('s3: with FILES_S3_SECRET_KEY; without both, the role or profile of the machine counts.'),
  FILES_S3_SECRET_KEY: z.string().optional().describe('s3: see FILES_S3_ACCESS_KEY.'),
  FILES_AZURE_CONNECTION_STRING: z
    .string()
    .optional()
    .describe('azure-blob: connection string, of the account or with a SAS that may read, write and delete.'),
  FILES_AZURE_CONTAINER: z.string().optional().describe('azure-blob: the container.'),
  UPLOAD_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(1)
    .default(1_073_741_824)
    .describe(
      'Largest file that may be uploaded, in bytes; what is larger than MAX_FILE_BYTES of the workers is not delivered.',
    ),
  UNUSED_FILES_DAYS: z.coerce
    .number()
    .int()
    .min(10)
    .max(36_500)
    .default(45)
    .describe(
      'Content of a file that was replaced or deleted is kept for so long, for deliveries that still name it.',
    ),
  HISTORY_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(36_500)
    .default(400)
    .describe('Orders and unused recipes that have not changed for so long are deleted.'),
});

/** What each storage cannot do without. */
const NEEDED = {
  local: [],
  s3: ['FILES_S3_BUCKET'],
  'azure-blob': ['FILES_AZURE_CONNECTION_STRING', 'FILES_AZURE_CONTAINER'],
} as const;

export const Config = Settings.superRefine((config, context) => {
  const fault = (name: keyof typeof config, message: string): void => {
    context.addIssue({ code: 'custom', path: [name], message });
  };
  for (const name of NEEDED[config.FILES_STORAGE]) {
    if (config[name] === undefined) fault(name, `is needed with FILES_STORAGE=${config.FILES_STORAGE}`);
  }
  if ((config.FILES_S3_ACCESS_KEY === undefined) !== (config.FILES_S3_SECRET_KEY === undefined))
    fault('FILES_S3_ACCESS_KEY', 'and FILES_S3_SECRET_KEY are set together or not at all');
});
export type Config = z.infer<typeof Config>;
