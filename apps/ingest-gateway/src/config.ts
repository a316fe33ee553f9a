import { z } from 'zod';

import { Tenant } from '@heddle/contracts';
import { AllowedAddressesSetting, HubAddressesSetting } from '@heddle/destination-kit';
import { kafkaConfig } from '@heddle/messaging';
import { databaseConfig } from '@heddle/persistence';
import { serviceConfig } from '@heddle/platform';
import { KeyringSetting } from '@heddle/secrets';

/** An origin, with a path where the hub is served below one; never a slash at the end. */
const BaseUrl = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

/** `host=tenant,host=tenant`, hosts in lower case. */
const PublicHosts = z
  .string()
  .default('')
  .transform((text, context): ReadonlyMap<string, string> => {
    const entries = text.split(',').flatMap((entry, index): [string, string][] => {
      if (entry.trim() === '') return [];
      const [host = '', tenant = ''] = entry.trim().split('=');
      if (host !== '' && Tenant.safeParse(tenant).success) return [[host.toLowerCase(), tenant]];
      context.addIssue({ code: 'custom', message: `entry ${String(index + 1)} is not host=tenant` });
      return [];
    });
    return new Map(entries);
  });

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
  PUBLIC_HOSTS: PublicHosts.describe(
    'Whose recipes are read without a key under a host name, host=tenant, comma-separated. Not needed with one tenant.',
  ),
});
export type Config = z.infer<typeof Config>;
export const CONFIG = Symbol('Config');
