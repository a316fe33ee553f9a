import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';

import { z } from 'zod';

import { kafkaConfig } from '@heddle/messaging';
import { ConfigError, loadConfig } from '@heddle/platform';

import { LocalHeddle } from './local-heddle.js';
import { Screen, StartError } from './screen.js';

const Config = z.object({
  /** All data of this installation. */
  HEDDLE_DIRECTORY: z.string().default('.heddle'),
  PORT: z.coerce.number().int().min(1).max(65_535).default(8080),
  ...kafkaConfig,
  /** Without it an embedded Kafka is started. */
  KAFKA_BROKERS: kafkaConfig.KAFKA_BROKERS.optional(),
  DATABASE_URL: z.string().optional(),
  OUTBOUND_ALLOWED_ADDRESSES: z.string().default(''),
  LOG_LEVEL: z.string().default('info'),
  /** Short here, so that a demo shows a retry within seconds. */
  RETRY_DELAYS_MS: z.string().default('2000,5000'),
  /** As short, so that a burst is told within seconds. */
  NOTIFICATION_WINDOW_MS: z.string().default('2000'),
  HEDDLE_STARTED_AT: z.coerce.number().default(() => Date.now()),
});

async function main(): Promise<void> {
  const config = loadConfig(Config, process.env);
  const root = resolve(import.meta.dirname, '../../..');
  const directory = resolve(root, config.HEDDLE_DIRECTORY);
  const screen = new Screen(config.HEDDLE_STARTED_AT);
  const heddle = new LocalHeddle({ ...config, root, directory, environment: process.env }, screen);

  let ending: Promise<void> | undefined;
  const end = (code: number, reason: string): void => {
    ending ??= (async () => {
      screen.say(reason);
      await heddle.stop();
      screen.say('everything is stopped');
      process.exit(code);
    })();
  };
  heddle.onFatal = (reason) => {
    end(1, reason);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      end(0, 'stopping: services first, then Kafka and PostgreSQL');
    });
  }
  // The process that waits for this one may be killed: nobody would stop the services then.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end(1, 'the terminal is gone: stopping');
  }, 1_000).unref();

  try {
    await heddle.start();
  } catch (error) {
    if (ending !== undefined) return;
    end(1, await explain(error, directory));
  }
}

async function explain(error: unknown, directory: string): Promise<string> {
  if (error instanceof StartError || error instanceof ConfigError) return error.message;
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize < 50_000_000 || (error instanceof Error && 'code' in error && error.code === 'ENOSPC')) {
    return 'The disk is full: free at least 1500 MB and start again.';
  }
  return error instanceof Error ? error.message : String(error);
}

await main();
