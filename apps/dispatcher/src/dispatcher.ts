import { TOPIC, topicCatalogue } from '@heddle/contracts';
import { KafkaServer, kafkaOptions } from '@heddle/messaging';
import { faultOf } from '@heddle/persistence';
import { createLogger, runService } from '@heddle/platform';
import type { Logger, RunningService } from '@heddle/platform';

import { AppModule, SERVICE } from './app.module.js';
import type { Config } from './config.js';
import { acceptJson } from './http/input.js';

const CONSUMED: ReadonlySet<string> = new Set([
  TOPIC.orderSubmitted,
  TOPIC.orderUpdated,
  TOPIC.orderCancelled,
  TOPIC.recipeCreated,
  TOPIC.recipeUpdated,
  TOPIC.deliveryAttempted,
]);

export interface DispatcherOptions {
  readonly config: Config;
  readonly logger?: Logger;
  readonly handleSignals?: boolean;
}

export async function startDispatcher({ config, ...options }: DispatcherOptions): Promise<RunningService> {
  const logger = options.logger ?? createLogger({ service: SERVICE, level: config.LOG_LEVEL });
  let server: KafkaServer | undefined;
  return await runService({
    service: SERVICE,
    config,
    logger,
    ...(options.handleSignals === undefined ? {} : { handleSignals: options.handleSignals }),
    module: (platform) => {
      server = new KafkaServer({
        kafka: kafkaOptions(config, SERVICE),
        groupId: SERVICE,
        catalogue: topicCatalogue.filter(({ name }) => CONSUMED.has(name)),
        faultOf,
        ...platform,
      });
      const consumer = server;
      return AppModule.forRoot(config, platform, () => consumer.caughtUpSince(TOPIC.deliveryAttempted));
    },
    configure: acceptJson,
    strategies: () => (server === undefined ? [] : [server]),
  });
}
