import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
} from 'node:crypto';
import type { CipherKey } from 'node:crypto';

import type { Keyring, NamedKey } from './keyring.js';

/** Where a secret belongs. An envelope opens only there. */
export interface SecretPlace {
  readonly tenant: string;
  readonly integrationId: string;
  readonly field: string;
}

export const SECRET_ERROR_CODES = ['MALFORMED', 'UNKNOWN_KEY', 'REFUSED'] as const;
export type SecretErrorCode = (typeof SECRET_ERROR_CODES)[number];

/**
 * `MALFORMED`: not an envelope. `UNKNOWN_KEY`: sealed with a key that this process does not have. `REFUSED`:
 * changed, or of another place.
 */
export class SecretError extends Error {
  override readonly name = 'SecretError';

  constructor(
    readonly code: SecretErrorCode,
    message: string,
  ) {
    super(message);
  }
}

const VERSION = 'hdl1';
const CIPHER = 'aes-256-gcm';
const DATA_KEY_BYTES = 32;
/** Source: NIST SP 800-38D, 8.2.2: random IVs have 96 bits, and one key seals at most 2^32 times. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals secrets into texts: `hdl1.<kid>.<wrapped data key>.<sealed secret>`, the last two base64url of IV,
 * ciphertext and tag. Each secret has a data key of its own, and only that one is wrapped by the master key:
 * a change of master key rewraps without seeing a secret.
 */
export class SecretSealer {
  constructor(private readonly keyring: Keyring) {}

  seal(plaintext: string, place: SecretPlace): string {
    const dataKey = randomBytes(DATA_KEY_BYTES);
    try {
      const sealed = encrypt(dataKey, Buffer.from(plaintext, 'utf8'), placeAad(place));
      return this.envelope(dataKey, sealed);
    } finally {
      dataKey.fill(0);
    }
  }

  /** @throws {SecretError} that names neither the secret nor a key. */
  open(envelope: string, place: SecretPlace): string {
    const { master, wrapped, sealed } = this.read(envelope);
    const dataKey = decrypt(master.key, wrapped, wrapAad(master.kid));
    try {
      // A key object, as Node takes four times as long to prepare a buffer.
      return decrypt(createSecretKey(dataKey), sealed, placeAad(place)).toString('utf8');
    } finally {
      dataKey.fill(0);
    }
  }

  /**
   * The same secret under the newest master key; unchanged when it is there already.
   *
   * @throws {SecretError}
   */
  rewrap(envelope: string): string {
    const { master, wrapped, sealed } = this.read(envelope);
    const dataKey = decrypt(master.key, wrapped, wrapAad(master.kid));
    try {
      return master === this.keyring[0] ? envelope : this.envelope(dataKey, sealed);
    } finally {
      dataKey.fill(0);
    }
  }

  /**
   * The same text always has the same fingerprint, and without the newest master key nobody can try out which text
   * it is of. Changes with that key.
   *
   * @returns HMAC-SHA-256 in base64url.
   */
  fingerprint(text: string): string {
    const key = Buffer.from(hkdfSync('sha256', this.keyring[0].key, '', 'heddle fingerprint', 32));
    return createHmac('sha256', key).update(text).digest('base64url');
  }

  private envelope(dataKey: Buffer, sealed: Buffer): string {
    const [{ kid, key }] = this.keyring;
    const wrapped = encrypt(key, dataKey, wrapAad(kid));
    return [VERSION, kid, wrapped.toString('base64url'), sealed.toString('base64url')].join('.');
  }

  private read(envelope: string): { master: NamedKey; wrapped: Buffer; sealed: Buffer } {
    const parts = ENVELOPE.exec(envelope);
    if (!parts) throw new SecretError('MALFORMED', 'opening a secret: it is not an envelope');
    const [, kid = '', wrapped = '', sealed = ''] = parts;
    const master = this.keyring.find((key) => key.kid === kid);
    if (!master) throw new SecretError('UNKNOWN_KEY', `opening a secret: there is no key ${kid}`);
    return { master, wrapped: bytesOf(wrapped), sealed: bytesOf(sealed) };
  }
}

const ENVELOPE = /^hdl1\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{80})\.([A-Za-z0-9_-]{38,})$/;

/** Whether a text has the form of an envelope; whether it opens is another question. */
export function isSealed(text: string): boolean {
  return ENVELOPE.test(text);
}

/** Refuses the other spellings of the same bytes, so that no change of an envelope goes unseen. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text)
    throw new SecretError('MALFORMED', 'opening a secret: not base64url');
  return bytes;
}

/** Unambiguous, as JSON quotes what would end a part. */
function placeAad({ tenant, integrationId, field }: SecretPlace): Buffer {
  return Buffer.from(JSON.stringify([VERSION, tenant, integrationId, field]));
}

function wrapAad(kid: string): Buffer {
  return Buffer.from(JSON.stringify([VERSION, 'data-key', kid]));
}

function encrypt(key: CipherKey, plaintext: Buffer, aad: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES }).setAAD(aad);
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: CipherKey, sealed: Buffer, aad: Buffer): Buffer {
  try {
    const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(aad)
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    // Without its cause, which has nothing to say.
    throw new SecretError('REFUSED', 'opening a secret: it was changed, or belongs somewhere else');
  }
}
