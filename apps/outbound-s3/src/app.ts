import { S3Settings } from '@heddle/contracts';
import { runOutboundWorker } from '@heddle/destination-worker';
import type { DestinationDeps } from '@heddle/destination-worker';
import type { RunningService } from '@heddle/platform';
import { Gauge } from 'prom-client';

import type { Config } from './config.js';
import { S3Clients } from './s3/aws-s3.client.js';
import { S3Destination } from './s3/s3.destination.js';

/** Composition root. */
export function startOutboundS3(config: Config, handleSignals = true): Promise<RunningService> {
  return runOutboundWorker({
    service: 'outbound-s3',
    config,
    kind: 's3',
    settings: S3Settings,
    destination: s3Destination,
    handleSignals,
  });
}

function s3Destination({
  guard,
  connectTimeoutMs,
  silenceTimeoutMs,
  metrics,
}: DestinationDeps): S3Destination {
  const clients = new S3Clients({ guard, connectTimeoutMs, silenceTimeoutMs });
  new Gauge({
    name: 'heddle_s3_connections',
    help: 'Open connections to S3 stores.',
    registers: [metrics],
    collect() {
      this.set(clients.connections);
    },
  });
  return new S3Destination(clients);
}
