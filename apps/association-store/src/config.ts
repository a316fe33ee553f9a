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
  HISTORY_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(36_500)
    .default(400)
    .describe('Orders and unused recipes that have not changed for so long are deleted.'),
});
export type Config = z.infer<typeof Config>;
