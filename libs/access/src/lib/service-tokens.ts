import type { KeyObject } from 'node:crypto';

import { Permission } from '@heddle/contracts';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';

import type { Caller } from './caller.js';

const ISSUER = 'heddle';
const ALGORITHM = 'HS256';
const LIFETIME_S = 60;
/** Between the clocks of two machines. */
const CLOCK_TOLERANCE_S = 5;

const Claims = z.object({
  tenant: z.string(),
  permissions: z.array(z.string()),
  sub: z.string(),
  channel: z.string().optional(),
});

/** The token is not ours, changed, or too old. The reason is no business of whoever sent it. */
export class ServiceTokenError extends Error {
  override readonly name = 'ServiceTokenError';
}

export interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
}

/** What the gateway says to a service about the caller: signed, and good for a minute. */
export class ServiceTokens {
  /** @param keys the first signs, all of them verify. */
  constructor(private readonly keys: readonly [SigningKey, ...SigningKey[]]) {}

  async sign({ tenant, permissions, actor, channel }: Caller): Promise<string> {
    const [{ kid, key }] = this.keys;
    return await new SignJWT({
      tenant,
      permissions: [...permissions],
      ...(channel !== undefined && { channel }),
    })
      .setProtectedHeader({ alg: ALGORITHM, kid })
      .setIssuer(ISSUER)
      .setSubject(actor)
      .setIssuedAt()
      .setExpirationTime(`${String(LIFETIME_S)}s`)
      .sign(key);
  }

  /** @throws {ServiceTokenError} */
  async verify(token: string): Promise<Caller> {
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => this.keyNamed(kid), {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        requiredClaims: ['exp', 'iat', 'sub'],
        maxTokenAge: LIFETIME_S,
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      const { tenant, permissions, sub: actor, channel } = Claims.parse(payload);
      // A newer gateway may know permissions that this service does not.
      const known = permissions.flatMap((name) => Permission.safeParse(name).data ?? []);
      return { tenant, permissions: known, actor, channel };
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof z.ZodError) {
        throw new ServiceTokenError('verifying a service token');
      }
      throw error;
    }
  }

  private keyNamed(kid: string | undefined): KeyObject {
    const named = this.keys.find((key) => key.kid === kid);
    if (!named) throw new ServiceTokenError('verifying a service token: unknown key');
    return named.key;
  }
}
