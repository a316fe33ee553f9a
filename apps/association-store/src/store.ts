import { fileURLToPath } from 'node:url';

import { TOPIC, topicCatalogue } from '@heddle/contracts';
import { KafkaServer, kafkaOptions } from '@heddle/messaging';
import { faultOf } from '@heddle/persistence';
import { createLogger, runService } from '@heddle/platform';
import type { Logger, Platform, RunningService } from '@heddle/platform';

import { AppModule, SERVICE } from './app.module.js';
import type { Config } from './config.js';
import { LONGEST_UPLOAD_MS } from './files/file.service.js';

const CONSUMED: ReadonlySet<string> = new Set([TOPIC.orderReceived, TOPIC.recipeReceived]);

export interface StoreOptions {
  readonly config: Config;
  readonly logger?: Logger;
  readonly handleSignals?: boolean;
  /** File that a thread of tickets runs: the one that is built beside this, unless a test brings its own. */
  readonly ticketThread?: string;
}

const TICKET_THREAD = fileURLToPath(new URL('./ticket-thread.js', import.meta.url));

export async function startStore({ config, ...options }: StoreOptions): Promise<RunningService> {
  const logger = options.logger ?? createLogger({ service: SERVICE, level: config.LOG_LEVEL });
  let platform: Platform | undefined;
  return await runService({
    service: SERVICE,
    config,
    logger,
    ...(options.handleSignals === undefined ? {} : { handleSignals: options.handleSignals }),
    fastify: {
      // Of a whole body: an upload may take longer than other requests. Names in addresses are long when encoded.
      requestTimeout: LONGEST_UPLOAD_MS,
      routerOptions: { maxParamLength: 1_024 },
    },
    configure: (app) => {
      const fastify = app.getHttpAdapter().getInstance();
      // Whatever comes with a body here is a file, of any type, taken as it comes.
      fastify.removeAllContentTypeParsers();
      fastify.addContentTypeParser('*', (_request, body, done) => {
        done(null, body);
      });
    },
    module: (given) => {
      platform = given;
      return AppModule.forRoot(config, given, options.ticketThread ?? TICKET_THREAD);
    },
    strategies: () => {
      if (platform === undefined) throw new TypeError('starting consumers without a platform');
      return [
        new KafkaServer({
          kafka: kafkaOptions(config, SERVICE),
          groupId: SERVICE,
          catalogue: topicCatalogue.filter(({ name }) => CONSUMED.has(name)),
          faultOf,
          ...platform,
        }),
      ];
    },
  });
}
