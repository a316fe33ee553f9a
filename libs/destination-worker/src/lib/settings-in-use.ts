import type { SecretSealer } from '@heddle/secrets';
import type { z } from 'zod';

import { openSettings } from './open-settings.js';
import type { SealedOffer } from './open-settings.js';

interface InUse<TSettings> {
  readonly settings: TSettings;
  attempts: number;
}

/**
 * Opens the settings of offers. Attempts of one integration that run at the same time share what one of them has
 * opened; nothing stays that no attempt needs.
 */
export class SettingsInUse<TSettings> {
  private readonly inUse = new Map<string, InUse<TSettings>>();

  constructor(
    private readonly sealer: Pick<SecretSealer, 'open'>,
    private readonly schema: z.ZodType<TSettings>,
  ) {}

  /** @throws as `openSettings`, before `work` is begun. */
  async during<T>(offer: SealedOffer, work: (settings: TSettings) => Promise<T>): Promise<T> {
    const { tenant, integrationId, sealedSettings } = offer;
    // The envelope opens for its own tenant and integration alone.
    const key = JSON.stringify([tenant, integrationId, sealedSettings]);
    const used = this.inUse.get(key) ?? {
      settings: openSettings(this.sealer, this.schema, offer),
      attempts: 0,
    };
    this.inUse.set(key, used);
    used.attempts += 1;
    try {
      return await work(used.settings);
    } finally {
      used.attempts -= 1;
      if (used.attempts === 0) this.inUse.delete(key);
    }
  }
}
