import { TICKET_PAPERS } from '@heddle/contracts';
import { AllowedAddressesSetting, HubAddressesSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { databaseConfig } from '@heddle/persistence';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting } from '@heddle/secrets';
import { z } from 'zod';

export const Config = z.object({
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
  FILES_DIR: z
    .string()
    .default('data/files')
    .describe(
      'Folder of uploaded files, to be kept as the database is; all processes of the store share it.',
    ),
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
export type Config = z.infer<typeof Config>;
