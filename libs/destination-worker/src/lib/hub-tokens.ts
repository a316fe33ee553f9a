import type { KeyObject } from 'node:crypto';

import { SignJWT } from 'jose';

/** Lets this worker read recipes of one tenant from the store. */
export interface HubTokens {
  sign(tenant: string): Promise<string>;
}

export interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
}

const LIFETIME_S = 60;
/** A token is used again while it is good for at least as long as a slow connection takes. */
const REUSE_MS = 30_000;

/** Service tokens as `@heddle/access` verifies them; signed here, for a worker has no database. */
export class ServiceTokenSigner implements HubTokens {
  private readonly tokens = new Map<string, { readonly token: Promise<string>; readonly at: number }>();

  constructor(
    private readonly key: SigningKey,
    private readonly actor: string,
  ) {}

  sign(tenant: string): Promise<string> {
    const known = this.tokens.get(tenant);
    if (known && performance.now() - known.at < REUSE_MS) return known.token;
    if (this.tokens.size > 1_000) this.tokens.clear();
    const token = new SignJWT({ tenant, permissions: ['recipes:read'] })
      .setProtectedHeader({ alg: 'HS256', kid: this.key.kid })
      .setIssuer('heddle')
      .setSubject(this.actor)
      .setIssuedAt()
      .setExpirationTime(`${String(LIFETIME_S)}s`)
      .sign(this.key.key);
    this.tokens.set(tenant, { token, at: performance.now() });
    return token;
  }
}
