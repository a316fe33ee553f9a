import { workerConfig } from '@heddle/destination-worker';
import { z } from 'zod';

export const Config = z.object({
  ...workerConfig,
  /** Source: wire/zapier.md. */
  HOOK_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(100)
    .max(600_000)
    .default(60_000)
    .describe('Longest wait for the answer of a hook, connecting included.'),
  HOOK_REQUESTS_PER_SECOND: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(30)
    .describe('Most calls of one hook in a second by this process, whatever integrations use it.'),
});
export type Config = z.infer<typeof Config>;
