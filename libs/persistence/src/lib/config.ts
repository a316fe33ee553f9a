import { z } from 'zod';

/** Spread into the configuration of every app that owns a schema. */
export const databaseConfig = {
  DATABASE_URL: z
    .string()
    .regex(/^postgres(?:ql)?:\/\/\S+$/, 'must be a postgres:// address')
    .describe('PostgreSQL, postgres://user:password@host:port/database.'),
  DATABASE_POOL_SIZE: z.coerce
    .number()
    .int()
    .min(2)
    .max(100)
    .default(10)
    .describe('Connections that one process keeps at most, besides one of its outbox relay.'),
} as const;
