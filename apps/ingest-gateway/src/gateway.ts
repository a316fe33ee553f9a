import { ApiKeys } from '@heddle/access';
import { KafkaPublisher, kafkaOptions } from '@heddle/messaging';
import { createLogger, runService } from '@heddle/platform';
import type { Logger, Platform, RunningService } from '@heddle/platform';

import { AppModule } from './app.module.js';
import type { Config } from './config.js';
import { accessDataSource } from './database.js';
import { configureHttp } from './http/configure-http.js';
import { KeyRate } from './http/key-rate.js';
import { serverOptions } from './http/server-options.js';
import type { EventLog } from './intake/event-log.js';
import { Lifecycle } from './lifecycle.js';
import { registerDocs } from './docs/docs.js';
import { LinkedFiles } from './files/linked-files.js';
import { OpenReads } from './recipes/open-reads.js';
import { registerRecipeRead } from './recipes/recipe-read.js';
import { registerOrderList } from './upstream/order-list.js';
import { registerOrderRead } from './upstream/order-read.js';
import { registerPassedOn } from './upstream/pass-on.js';
import { registerUploads } from './upstream/uploads.js';
import { UPSTREAMS } from './upstream/upstream.js';
import type { Upstreams } from './upstream/upstream.js';

export const SERVICE = 'ingest-gateway';

export interface GatewayOptions {
  readonly config: Config;
  readonly version: string;
  readonly logger?: Logger;
  readonly handleSignals?: boolean;
  /** Where accepted events go: Kafka, unless a measurement or a test binds something else. */
  readonly eventLog?: (platform: Platform) => EventLog;
}

export async function startGateway(options: GatewayOptions): Promise<RunningService> {
  const { config, version } = options;
  const logger = options.logger ?? createLogger({ service: SERVICE, level: config.LOG_LEVEL });
  const dataSource = accessDataSource(config, logger);
  let platform: Platform | undefined;
  return await runService({
    service: SERVICE,
    config,
    logger,
    ...(options.handleSignals === undefined ? {} : { handleSignals: options.handleSignals }),
    fastify: serverOptions(logger),
    module: (given) => {
      platform = given;
      const eventLog = options.eventLog?.(given) ?? kafkaLog(config, given);
      return AppModule.forRoot({ config, dataSource, eventLog }, given);
    },
    configure: (app) => {
      if (platform === undefined) throw new TypeError('configuring a service without its platform');
      const fastify = app.getHttpAdapter().getInstance();
      const upstreams = app.get<Upstreams>(UPSTREAMS);
      const keys = app.get(ApiKeys);
      const rate = new KeyRate(config.KEY_RATE_PER_SECOND);
      configureHttp(app, { platform, keys, rate, bodyWithinMs: config.BODY_WITHIN_MS });
      app.get(Lifecycle).draining.register(fastify);
      registerPassedOn(fastify, upstreams);
      registerUploads(fastify, upstreams, config.BODY_WITHIN_MS);
      registerOrderList(fastify, upstreams);
      registerOrderRead(fastify, upstreams);
      const linkedFiles = app.get(LinkedFiles);
      linkedFiles.register(fastify);
      registerRecipeRead(fastify, {
        store: upstreams['association-store'],
        keys,
        rate,
        linkedFiles,
        openReads: new OpenReads({ dataSource, publicHosts: config.PUBLIC_HOSTS, logger }),
      });
      registerDocs(fastify, { publicUrl: config.PUBLIC_URL, version });
    },
  });
}

function kafkaLog(config: Config, { logger, metrics }: Platform): EventLog {
  return new KafkaPublisher({ kafka: kafkaOptions(config, SERVICE), logger, metrics });
}
