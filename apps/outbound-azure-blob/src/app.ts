import { AzureBlobSettings } from '@heddle/contracts';
import { runOutboundWorker } from '@heddle/destination-worker';
import type { RunningService } from '@heddle/platform';

import { AzureBlobDestination } from './azure-blob/azure-blob.destination.js';
import { AzureSdkContainers } from './azure-blob/azure-sdk.client.js';
import type { Config } from './config.js';

/** Composition root. */
export function startOutboundAzureBlob(config: Config, handleSignals = true): Promise<RunningService> {
  return runOutboundWorker({
    service: 'outbound-azure-blob',
    config,
    kind: 'azure-blob',
    settings: AzureBlobSettings,
    destination: ({ guard, connectTimeoutMs, silenceTimeoutMs }) =>
      new AzureBlobDestination(new AzureSdkContainers({ guard, connectTimeoutMs, silenceTimeoutMs })),
    handleSignals,
  });
}
