import { createCipheriv, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

import { FileName, FileSource, Tenant } from '@heddle/contracts';
import { errors, jwtDecrypt } from 'jose';
import { z } from 'zod';

import type { Keyring } from './keyring.js';

const ISSUER = 'heddle';
const AUDIENCE = 'files';
const CIPHER = 'A256GCM';
const IV_BYTES = 12;
/** A week. Source: wire/zapier.md. */
const LIFETIME_MS = 7 * 24 * 3_600_000;
/** Between the clocks of two machines. */
const CLOCK_TOLERANCE_S = 5;

/** Longest text that a link carries itself, in UTF-16 units: a link has to fit into an address line. */
export const MAX_LINKED_CHARACTERS = 2_000;

/** Where the bytes behind a link come from: as in an offer, or the dispatcher for a text that a link cannot carry. */
export const LinkedSource = z.discriminatedUnion('kind', [
  ...FileSource.options,
  z.object({ kind: z.literal('delivery'), deliveryId: z.uuid() }),
]);
export type LinkedSource = z.infer<typeof LinkedSource>;

export const LinkedFile = z.object({
  tenant: Tenant,
  name: FileName,
  mimeType: z.string().min(1).max(255),
  source: LinkedSource,
});
export type LinkedFile = z.infer<typeof LinkedFile>;

/** The link is not ours, changed, or too old. Which of these is no business of whoever follows it. */
export class FileLinkError extends Error {
  override readonly name = 'FileLinkError';
}

/**
 * Links to single files, for those who have no key: whoever has one may read that file for a week.
 *
 * Encrypted and not only signed: the address of a source may carry somebody's signature.
 */
export class FileLinks {
  private readonly keys: ReadonlyMap<string, KeyObject>;
  private readonly newest: string;

  /** @param keyring the first seals, all of them open. Keys of links are derived, for these keys sign tokens too. */
  constructor(keyring: Keyring) {
    this.newest = keyring[0].kid;
    this.keys = new Map(
      keyring.map(({ kid, key }) => [
        kid,
        createSecretKey(Buffer.from(hkdfSync('sha256', key, new Uint8Array(), 'heddle file links', 32))),
      ]),
    );
  }

  /** Path and query of the file's address, from the root of the hub. */
  pathTo(file: LinkedFile, now = new Date()): string {
    const { tenant, name, mimeType, source } = file;
    const claims = {
      tenant,
      name,
      mimeType,
      source,
      iss: ISSUER,
      aud: AUDIENCE,
      iat: Math.floor(now.getTime() / 1_000),
      exp: Math.floor((now.getTime() + LIFETIME_MS) / 1_000),
    };
    return addressOf(file, this.sealed(JSON.stringify(claims)));
  }

  /**
   * The file behind an address that `pathTo` made, whose token stands at its place in it.
   *
   * @throws {FileLinkError}
   */
  async open(path: string, token: string): Promise<LinkedFile> {
    if (!isCanonical(token)) throw new FileLinkError('opening a link: not base64url');
    let file: LinkedFile;
    try {
      const { payload } = await jwtDecrypt(token, ({ kid }) => this.keyNamed(kid), {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: [CIPHER],
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ['exp', 'iat'],
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      file = LinkedFile.parse(payload);
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof z.ZodError)
        throw new FileLinkError('opening a link');
      throw error;
    }
    // A link that says one name and serves another file would be a lie about what it is.
    if (addressOf(file, token) !== path) throw new FileLinkError('opening a link: it is of another file');
    return file;
  }

  /**
   * A JWE in its compact form, the key used as it is. The library makes the same, but imports the key for each and
   * encrypts on another thread: a fifth of what a worker spends on the call of a hook.
   *
   * Sources: RFC 7516, 7.1; RFC 7518, 4.5 and 5.3.
   */
  private sealed(text: string): string {
    const header = Buffer.from(JSON.stringify({ alg: 'dir', enc: CIPHER, kid: this.newest })).toString(
      'base64url',
    );
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.keyNamed(this.newest), iv);
    cipher.setAAD(Buffer.from(header));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    const parts = [iv, sealed, cipher.getAuthTag()].map((part) => part.toString('base64url'));
    return [header, '', ...parts].join('.');
  }

  private keyNamed(kid: string | undefined): KeyObject {
    const key = this.keys.get(kid ?? '');
    if (!key) throw new FileLinkError('opening a link: unknown key');
    return key;
  }
}

/** The last digit of a part has spare bits: one spelling of the same bytes is enough. */
function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);
}

const RECIPE = /^\/internal\/recipes\/[^/?]+\/([^/?]+)\/[^/?]+$/;
const TICKET = /^\/internal\/tickets\/[^/?]+\/([^/?]+)\/[^/?]+\.pdf(?:\?|$)/;

/** The recipe's own address for its document and its ticket, as the wire says: from the root of the hub. Others have none. */
export function recipePathOf(source: LinkedSource): string | undefined {
  const path = source.kind === 'hub' ? source.path : '';
  const document = RECIPE.exec(path)?.[1];
  if (document !== undefined) return `/recipe/${document}.json`;
  const ticket = TICKET.exec(path)?.[1];
  return ticket === undefined ? undefined : `/recipe/${ticket}.pdf`;
}

/** A place of their own for files that have no address of the recipe's. */
function addressOf({ name, source }: LinkedFile, token: string): string {
  const own = recipePathOf(source);
  return own === undefined ? `/files/${token}/${name}` : `${own}?link=${token}`;
}
