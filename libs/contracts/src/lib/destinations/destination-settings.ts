import type { z } from 'zod';

import type { DestinationKind } from './destination-kind.js';
import { SFTP_ROUTING_SETTINGS, SftpSettings } from './sftp.settings.js';

export interface DestinationSettings {
  readonly schema: z.ZodType<Record<string, unknown>>;
  /** Settings that decide where data goes: changing one waits for approval. */
  readonly routing: readonly string[];
}

/** Complete by construction: a kind without its settings does not compile. */
export const destinationSettings: Readonly<Record<DestinationKind, DestinationSettings>> = {
  sftp: { schema: SftpSettings, routing: SFTP_ROUTING_SETTINGS },
};

/** Secret settings are sealed at rest, write-only in the API and opened in the worker alone. */
export function isSecretSetting(name: string): boolean {
  return name.endsWith('-secret') || name.endsWith('-secure') || name === 'hook-url';
}

/** What a read shows in place of a secret; writing it back keeps the old value. */
export const SECRET_MASK = '********';
