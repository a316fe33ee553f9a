import { z } from 'zod';

import { AllowedAddressesSetting, HubAddressesSetting, PublicHostsSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { databaseConfig } from '@heddle/persistence';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting } from '@heddle/secrets';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const milliseconds = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

const DelaysMs = z
  .string()
  .regex(/^\d{1,9}(?:,\d{1,9}){0,9}$/, 'must be milliseconds, comma-separated')
  .transform((list) => list.split(',').map(Number));

export const Config = z.object({
  ...serviceConfig,
  ...kafkaConfig,
  ...databaseConfig,
  SECRETS_KEY: KeyringSetting.describe(
    'Keys that seal the secrets of integrations: kid:base64, newest first.',
  ),
  SERVICE_TOKEN_KEYS: KeyringSetting.describe("Keys of the gateway's tokens: kid:base64, newest first."),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Base address that users see: no integration may deliver there.'),
  PUBLIC_HOSTS: PublicHostsSetting,
  OUTBOUND_ALLOWED_ADDRESSES: AllowedAddressesSetting,
  HUB_ADDRESSES: HubAddressesSetting,
  RETRY_DELAYS_MS: DelaysMs.default([60_000, 300_000]).describe(
    'Waits before the automatic retries, in milliseconds: as many retries as values.',
  ),
  RECIPE_WAIT_MS: milliseconds(0, 30 * DAY_MS)
    .default(24 * HOUR_MS)
    .describe('Longest wait of an order for a missing recipe, in milliseconds.'),
  SILENCE_MS: milliseconds(3_000, HOUR_MS)
    .default(45_000)
    .describe(
      'A worker that says nothing for so long is taken for dead; it gives up by itself after two thirds, in milliseconds.',
    ),
  OFFER_NOT_AFTER_MS: milliseconds(10_000, 2.5 * DAY_MS)
    .default(2 * DAY_MS)
    .describe('How long an offer stays good in Kafka, in milliseconds. Less than its topic keeps it.'),
  PUMP_INTERVAL_MS: milliseconds(50, 10_000)
    .default(500)
    .describe('Longest wait between two looks for what is due, in milliseconds.'),
  BREAKER_FIRST_WAIT_MS: milliseconds(10, HOUR_MS)
    .default(5_000)
    .describe('Wait before the first probe of a destination that fails, in milliseconds; doubles.'),
  BREAKER_MAX_WAIT_MS: milliseconds(10, 24 * HOUR_MS)
    .default(300_000)
    .describe('Longest wait between two probes, in milliseconds.'),
  HISTORY_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(36_500)
    .default(400)
    .describe('How long finished deliveries are kept, in days.'),
  PURGE_INTERVAL_MS: milliseconds(1_000, DAY_MS)
    .default(HOUR_MS)
    .describe('Wait between two purges, in milliseconds.'),
  NOTIFICATION_WINDOW_MS: milliseconds(100, DAY_MS)
    .default(60_000)
    .describe(
      'The first mail to a notification list goes out at once; what follows within this time is joined into one, in milliseconds.',
    ),
  TEST_WAIT_MS: milliseconds(100, 30_000)
    .default(25_000)
    .describe('Longest wait for what becomes of a test of an integration, in milliseconds.'),
});
export type Config = z.infer<typeof Config>;
