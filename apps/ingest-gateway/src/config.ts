import { z } from 'zod';

import { AllowedAddressesSetting, HubAddressesSetting, PublicHostsSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { databaseConfig } from '@heddle/persistence';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting } from '@heddle/secrets';

/** An origin, with a path where the hub is served below one; never a slash at the end. */
const BaseUrl = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

export const Config = z.object({
  ...serviceConfig,
  ...kafkaConfig,
  ...databaseConfig,
  PUBLIC_URL: BaseUrl.describe(
    'Base address under which clients reach the hub; stands in locations and links.',
  ),
  STORE_URL: BaseUrl.describe('Base address of association-store.'),
  DISPATCHER_URL: BaseUrl.describe('Base address of dispatcher.'),
  SERVICE_TOKEN_KEYS: KeyringSetting.describe(
    'Keys that sign calls between services, kid:base64 of 32 bytes, comma-separated; the first signs, all verify.',
  ),
  OUTBOUND_ALLOWED_ADDRESSES: AllowedAddressesSetting,
  HUB_ADDRESSES: HubAddressesSetting,
  KEY_RATE_PER_SECOND: z.coerce
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Requests per second that one key may make to one process; 0: no limit.'),
  BODY_WITHIN_MS: z.coerce
    .number()
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('Longest time that a body may take, and longest pause of an upload, in milliseconds.'),
  PUBLIC_HOSTS: PublicHostsSetting,
});
export type Config = z.infer<typeof Config>;
export const CONFIG = Symbol('Config');
