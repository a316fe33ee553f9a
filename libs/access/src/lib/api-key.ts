import { hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

const KEY_ID_ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789';
const KEY_ID_LENGTH = 12;
const SECRET_BYTES = 32;

/** A key as it was presented, taken apart. The secret itself is gone. */
export interface PresentedKey {
  readonly keyId: string;
  readonly secretSha256: Buffer;
}

/** @returns the text that its owner gets, once, and what is kept of it. */
export function generateApiKey(): PresentedKey & { readonly key: string } {
  const letters = Array.from({ length: KEY_ID_LENGTH }, () =>
    KEY_ID_ALPHABET.charAt(randomInt(KEY_ID_ALPHABET.length)),
  );
  const keyId = letters.join('');
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { key: `hdl_${keyId}_${secret}`, keyId, secretSha256: sha256(secret) };
}

/** @returns undefined when the text has not the form of a key. */
export function readApiKey(text: string): PresentedKey | undefined {
  const parts = /^hdl_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/.exec(text);
  if (!parts) return undefined;
  const [, keyId = '', secret = ''] = parts;
  return { keyId, secretSha256: sha256(secret) };
}

export function isSameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** 256 random bits cannot be guessed, so a slow hash would only slow us down. */
function sha256(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}
