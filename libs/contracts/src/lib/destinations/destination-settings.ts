import type { z } from 'zod';

import {
  AZURE_BLOB_ROUTING_SETTINGS,
  AzureBlobSettings,
  azureBlobEndpoint,
  azureBlobPlaces,
} from './azure-blob.settings.js';
import type { DestinationKind } from './destination-kind.js';
import { EMAIL_ROUTING_SETTINGS, EmailSettings } from './email.settings.js';
import { S3Settings, S3_ROUTING_SETTINGS, s3Endpoint } from './s3.settings.js';
import type { SettingsEndpoint } from './settings-endpoint.js';
import { SFTP_ROUTING_SETTINGS, SftpSettings, sftpEndpoint } from './sftp.settings.js';
import { ZAPIER_ROUTING_SETTINGS, ZapierSettings, zapierEndpoint } from './zapier.settings.js';

type Members = Readonly<Record<string, unknown>>;

export interface DestinationSettings {
  readonly schema: z.ZodType<Record<string, unknown>>;
  /** Settings that decide where data goes: changing one waits for approval. */
  readonly routing: readonly string[];
  /**
   * Where parsed settings lead to, for the check at creation. Undefined where that is not for the tenant to say, or
   * stands in a secret that is masked.
   */
  readonly endpointOf: (settings: Members) => SettingsEndpoint | undefined;
  /**
   * Of secret routing settings, by name, the part that says where data goes, where the rest of them only lets us in: a
   * new value that names the same place leads nowhere else. Must not be a secret. Nothing of a secret that is masked.
   */
  readonly placesOf: (settings: Members) => Readonly<Record<string, string>>;
}

/** Complete by construction: a kind without its settings does not compile. */
export const destinationSettings: Readonly<Record<DestinationKind, DestinationSettings>> = {
  // The mail server is the operator's: the worker checks it where it connects.
  email: of(EmailSettings, EMAIL_ROUTING_SETTINGS, () => undefined),
  sftp: of(SftpSettings, SFTP_ROUTING_SETTINGS, sftpEndpoint),
  'azure-blob': of(AzureBlobSettings, AZURE_BLOB_ROUTING_SETTINGS, azureBlobEndpoint, azureBlobPlaces),
  zapier: of(ZapierSettings, ZAPIER_ROUTING_SETTINGS, zapierEndpoint),
  s3: of(S3Settings, S3_ROUTING_SETTINGS, s3Endpoint),
};

function of<TSettings extends Members>(
  schema: z.ZodType<TSettings>,
  routing: readonly (keyof TSettings & string)[],
  endpointOf: (settings: TSettings) => SettingsEndpoint | undefined,
  placesOf: (settings: TSettings) => Readonly<Record<string, string>> = () => ({}),
): DestinationSettings {
  return {
    schema,
    routing,
    endpointOf: (settings) => endpointOf(settings as TSettings),
    placesOf: (settings) => placesOf(settings as TSettings),
  };
}
