import { createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

import { z } from 'zod';

/** AES-256 and HS256 alike. */
const KEY_BYTES = 32;

/** A key and its name. The key object does not show its bytes to whoever prints it. */
export interface NamedKey {
  readonly kid: string;
  readonly key: KeyObject;
}

/** The first key seals and signs, all of them open and verify. */
export type Keyring = readonly [NamedKey, ...NamedKey[]];

/**
 * Reads `kid1:base64,kid0:base64`, newest first.
 *
 * @throws {KeyringError} saying which entry is wrong and why, never what it holds.
 */
export function parseKeyring(text: string): Keyring {
  const keys = text.split(',').map((entry, index) => parseKey(entry.trim(), index + 1));
  const names = new Set(keys.map(({ kid }) => kid));
  if (names.size < keys.length) throw new KeyringError('two keys have the same name');
  return keys as [NamedKey, ...NamedKey[]];
}

export class KeyringError extends Error {
  override readonly name = 'KeyringError';
}

/** A keyring as a variable of the environment. */
export const KeyringSetting = z.string().transform((text, context): Keyring => {
  try {
    return parseKeyring(text);
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: error instanceof KeyringError ? error.message : 'unreadable',
    });
    return z.NEVER;
  }
});

function parseKey(entry: string, position: number): NamedKey {
  const place = `key ${String(position)}`;
  const separator = entry.indexOf(':');
  const kid = entry.slice(0, Math.max(separator, 0));
  const encoded = entry.slice(separator + 1);
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(kid)) {
    throw new KeyringError(`${place} needs a name of 1 to 32 letters, digits, - or _ before a colon`);
  }
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(encoded)) throw new KeyringError(`${place} is not base64`);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== KEY_BYTES) throw new KeyringError(`${place} has not ${String(KEY_BYTES)} bytes`);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return { kid, key };
}
