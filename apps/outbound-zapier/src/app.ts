import { ZapierSettings } from '@heddle/contracts';
import { runOutboundWorker } from '@heddle/destination-worker';
import type { RunningService } from '@heddle/platform';

import type { Config } from './config.js';
import { HookPacer } from './zapier/hook-pacer.js';
import { NodeHookClient } from './zapier/node-hook.client.js';
import { ZapierDestination } from './zapier/zapier.destination.js';

/** Composition root. */
export function startOutboundZapier(config: Config, handleSignals = true): Promise<RunningService> {
  return runOutboundWorker({
    service: 'outbound-zapier',
    config,
    kind: 'zapier',
    settings: ZapierSettings,
    destination: ({ guard, connectTimeoutMs }) =>
      new ZapierDestination(
        new NodeHookClient({ guard, connectTimeoutMs, answerTimeoutMs: config.HOOK_TIMEOUT_MS }),
        new HookPacer(config.HOOK_REQUESTS_PER_SECOND),
      ),
    handleSignals,
  });
}
