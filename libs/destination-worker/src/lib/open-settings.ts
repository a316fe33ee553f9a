import { isSecretSetting } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import { SecretError, isSealed } from '@heddle/secrets';
import type { SecretSealer } from '@heddle/secrets';
import { z } from 'zod';

/** What of an offer is needed to open its settings. */
export interface SealedOffer {
  readonly tenant: string;
  readonly integrationId: string;
  readonly sealedSettings: string;
}

const Members = z.record(z.string(), z.unknown());

/**
 * Opens the settings of an offer: the envelope around all of them first, then each secret member
 * by its own field.
 *
 * @throws {DestinationError} `INVALID_SETTINGS`, or `UNKNOWN` where this process lacks the key, which a redeployment mends.
 */
export function openSettings<TSettings>(
  sealer: Pick<SecretSealer, 'open'>,
  schema: z.ZodType<TSettings>,
  offer: SealedOffer,
): TSettings {
  const { tenant, integrationId, sealedSettings } = offer;
  try {
    const text = sealer.open(sealedSettings, { tenant, integrationId, field: 'settings' });
    const members = Object.entries(Members.parse(JSON.parse(text))).map(([field, value]) => [
      field,
      isSecretSetting(field) && typeof value === 'string' && isSealed(value)
        ? sealer.open(value, { tenant, integrationId, field })
        : value,
    ]);
    return schema.parse(Object.fromEntries(members));
  } catch (error) {
    const code =
      error instanceof SecretError && error.code === 'UNKNOWN_KEY' ? 'UNKNOWN' : 'INVALID_SETTINGS';
    // A fault of JSON or zod may quote a value: only its kind goes on.
    const kind = error instanceof SecretError ? error.code : error instanceof Error ? error.name : 'Error';
    throw new DestinationError(code, 'reading the settings of the integration', { cause: new Error(kind) });
  }
}
