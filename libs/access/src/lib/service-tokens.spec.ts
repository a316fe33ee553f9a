import { createSecretKey, randomBytes } from 'node:crypto';

import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { SignJWT, UnsecuredJWT } from 'jose';

import type { Caller } from './caller.js';
import { ServiceTokenError, ServiceTokens } from './service-tokens.js';

const key = (kid: string, bytes = 32): { kid: string; key: ReturnType<typeof createSecretKey> } => ({
  kid,
  key: createSecretKey(randomBytes(bytes)),
});
/** Long enough for algorithms that we do not use. */
const long = key('long', 64);
const [older, newer] = [key('k0'), key('k1')];
const caller: Caller = { tenant: 'demo', permissions: ['orders:read'], actor: 'key:1', channel: 'shop' };

afterEach(() => {
  jest.useRealTimers();
});

describe('ServiceTokens', () => {
  const tokens = new ServiceTokens([newer, older, long]);

  it.each([caller, { ...caller, channel: undefined, permissions: [] }])(
    'say who is asking: %j',
    async (who) => {
      expect(await tokens.verify(await tokens.sign(who))).toEqual(who);
    },
  );

  it('signed by the previous key are good while both are there, and not afterwards', async () => {
    const token = await new ServiceTokens([older]).sign(caller);
    expect(await tokens.verify(token)).toEqual(caller);
    await expect(new ServiceTokens([newer]).verify(token)).rejects.toThrow(ServiceTokenError);
  });

  it('are not believed when somebody else signed them under the same name', async () => {
    const token = await new ServiceTokens([key('k1')]).sign(caller);
    await expect(tokens.verify(token)).rejects.toThrow(ServiceTokenError);
  });

  it('are good for a minute', async () => {
    jest.useFakeTimers();
    const token = await tokens.sign(caller);
    jest.advanceTimersByTime(59_000);
    expect(await tokens.verify(token)).toEqual(caller);
    jest.advanceTimersByTime(10_000);
    await expect(tokens.verify(token)).rejects.toThrow(ServiceTokenError);
  });

  it.each([
    ['changed', async () => (await tokens.sign(caller)).replace(/\.[^.]+\./, `.${btoa('{"tenant":"x"}')}.`)],
    [
      'unsigned',
      () => Promise.resolve(new UnsecuredJWT({ tenant: 'demo', permissions: ['admin'] }).encode()),
    ],
    ['no token', () => Promise.resolve('hello')],
    [
      'for somebody else',
      () =>
        new SignJWT({ tenant: 'demo', permissions: [] })
          .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
          .setIssuer('other')
          .setSubject('x')
          .setIssuedAt()
          .setExpirationTime('60s')
          .sign(newer.key),
    ],
    [
      'without an end',
      () =>
        new SignJWT({ tenant: 'demo', permissions: [] })
          .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
          .setIssuer('heddle')
          .setSubject('x')
          .setIssuedAt()
          .sign(newer.key),
    ],
    [
      'with another algorithm',
      () =>
        new SignJWT({ tenant: 'demo', permissions: [] })
          .setProtectedHeader({ alg: 'HS512', kid: 'long' })
          .setIssuer('heddle')
          .setSubject('x')
          .setIssuedAt()
          .setExpirationTime('60s')
          .sign(long.key),
    ],
  ])('are refused when they are %s', async (_how, make) => {
    await expect(tokens.verify(await make())).rejects.toThrow(ServiceTokenError);
  });

  it('do not carry permissions that this service does not know', async () => {
    const token = await tokens.sign({ ...caller, permissions: ['orders:read', 'looms:weave' as 'admin'] });
    expect((await tokens.verify(token)).permissions).toEqual(['orders:read']);
  });
});
