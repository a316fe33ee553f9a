import { SftpSettings } from '@heddle/contracts';
import { runOutboundWorker } from '@heddle/destination-worker';
import type { DestinationDeps } from '@heddle/destination-worker';
import type { RunningService } from '@heddle/platform';
import { Gauge } from 'prom-client';

import type { Config } from './config.js';
import { ConnectionPool } from './sftp/connection-pool.js';
import { SftpDestination } from './sftp/sftp.destination.js';
import { Ssh2SftpConnection } from './sftp/ssh2-sftp.client.js';

/** Composition root. */
export function startOutboundSftp(config: Config, handleSignals = true): Promise<RunningService> {
  return runOutboundWorker({
    service: 'outbound-sftp',
    config,
    kind: 'sftp',
    settings: SftpSettings,
    destination: sftpDestination,
    handleSignals,
  });
}

function sftpDestination({
  guard,
  connectTimeoutMs,
  silenceTimeoutMs,
  metrics,
}: DestinationDeps): SftpDestination {
  const pool = new ConnectionPool({
    open: (settings, onClose) =>
      Ssh2SftpConnection.open(settings, { guard, connectTimeoutMs, silenceTimeoutMs }, onClose),
  });
  new Gauge({
    name: 'heddle_sftp_connections',
    help: 'Open connections to SFTP servers.',
    registers: [metrics],
    collect() {
      this.set(pool.size);
    },
  });
  return new SftpDestination(pool);
}
