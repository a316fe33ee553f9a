import { z } from 'zod';

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Parses the environment once, at start-up, and freezes the result. Called in entry files
 * and nowhere else; everything below receives the value. A variable that is set but empty
 * counts as absent, so a blank line in an env file selects the default, not 0 or ''.
 *
 * @throws {ConfigError} naming every bad variable and why, all in one message. Values are
 * left out: they may be secrets and this message is logged.
 */
export function loadConfig<T extends z.ZodType<object>>(
  schema: T,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<z.output<T>> {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(present);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(['reading configuration from the environment:', ...faults].join('\n'));
  }
  return Object.freeze(parsed.data);
}

/** `host:port,host:port` */
export const Brokers = z
  .string()
  .regex(/^[^\s,]+:\d+(?:,[^\s,]+:\d+)*$/, 'must be host:port, comma-separated')
  .transform((list) => list.split(','));

const Port = z.coerce.number().int().min(0).max(65_535);

/** What every app reads; spread into its own schema. */
export const serviceConfig = {
  LOG_LEVEL: z
    .enum(['error', 'warn', 'info', 'debug'])
    .default('info')
    .describe('Least severe log line that is written.'),
  HOST: z.string().default('127.0.0.1').describe('Address to listen on. Loopback unless told otherwise.'),
  PORT: Port.default(0).describe('Port of the HTTP API; 0 takes a free one.'),
  INTERNAL_PORT: Port.default(0).describe('Port of health and metrics; 0 takes a free one.'),
  SHUTDOWN_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(100)
    .max(600_000)
    .default(9_000)
    .describe('Longest graceful shutdown, in milliseconds; after it the process ends with code 1.'),
} as const;
export const ServiceConfig = z.object(serviceConfig);
export type ServiceConfig = z.infer<typeof ServiceConfig>;
