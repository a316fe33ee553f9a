import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { parseKeyring } from './keyring.js';
import { SecretError, SecretSealer, isSealed } from './secret-sealer.js';
import type { SecretPlace } from './secret-sealer.js';

const k0 = `k0:${randomBytes(32).toString('base64')}`;
const k1 = `k1:${randomBytes(32).toString('base64url')}`;
const sealer = new SecretSealer(parseKeyring(k0));
const place: SecretPlace = { tenant: 'demo', integrationId: 'i1', field: 'password-secret' };
const places = fc.record({ tenant: fc.string(), integrationId: fc.string(), field: fc.string() });
/** Recognisable, so that its absence means something. */
const secrets = fc.string({ minLength: 4 }).map((text) => `secret-${text}`);

function errorOf(work: () => unknown): SecretError {
  try {
    work();
  } catch (error) {
    if (error instanceof SecretError) return error;
    throw error;
  }
  throw new TypeError('nothing was thrown');
}

describe('a sealed secret', () => {
  it('opens where it belongs', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), places, (secret, where) => {
        expect(sealer.open(sealer.seal(secret, where), where)).toBe(secret);
      }),
    );
  });

  it('does not open anywhere else', () => {
    fc.assert(
      fc.property(secrets, places, places, (secret, where, elsewhere) => {
        fc.pre(JSON.stringify(where) !== JSON.stringify(elsewhere));
        expect(errorOf(() => sealer.open(sealer.seal(secret, where), elsewhere)).code).toBe('REFUSED');
      }),
    );
  });

  it.each(['tenant', 'integrationId', 'field'] as const)('does not open with another %s alone', (part) => {
    const envelope = sealer.seal('secret', place);
    expect(errorOf(() => sealer.open(envelope, { ...place, [part]: 'other' })).code).toBe('REFUSED');
  });

  it('does not open where the parts of its place run into one another', () => {
    const envelope = sealer.seal('secret', { tenant: 'a","b', integrationId: 'c', field: 'd' });
    const elsewhere = { tenant: 'a', integrationId: 'b","c', field: 'd' };
    expect(errorOf(() => sealer.open(envelope, elsewhere)).code).toBe('REFUSED');
  });

  it('does not open when any character of it was changed', () => {
    fc.assert(
      fc.property(
        secrets,
        fc.nat(),
        fc.constantFrom(...Array.from('AZaz09-_.')),
        (secret, position, character) => {
          const envelope = sealer.seal(secret, place);
          const at = position % envelope.length;
          fc.pre(envelope[at] !== character);
          const changed = envelope.slice(0, at) + character + envelope.slice(at + 1);
          expect(errorOf(() => sealer.open(changed, place)).code).toMatch(
            /^(REFUSED|MALFORMED|UNKNOWN_KEY)$/,
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('does not open in another spelling of the same bytes', () => {
    // 29 bytes: the last of 39 characters has bits that mean nothing.
    const envelope = sealer.seal('x', place);
    for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      if (envelope.endsWith(character)) continue;
      expect(errorOf(() => sealer.open(envelope.slice(0, -1) + character, place)).code).toMatch(
        /REFUSED|MALFORMED/,
      );
    }
  });

  it('does not open with the data key of another one', () => {
    const [a, b] = [sealer.seal('one', place), sealer.seal('two', place)].map((text) => text.split('.'));
    const mixed = [a?.[0], a?.[1], a?.[2], b?.[3]].join('.');
    expect(errorOf(() => sealer.open(mixed, place)).code).toBe('REFUSED');
  });

  it('is another text each time', () => {
    const sealed = Array.from({ length: 200 }, () => sealer.seal('same', place));
    expect(new Set(sealed).size).toBe(200);
    for (const part of [2, 3]) expect(new Set(sealed.map((text) => text.split('.')[part])).size).toBe(200);
  });

  it('shows neither the secret nor a key, in the envelope or in an error', () => {
    fc.assert(
      fc.property(secrets, (secret) => {
        const envelope = sealer.seal(secret, place);
        expect(envelope).not.toContain(secret);
        const errors = [
          errorOf(() => sealer.open(envelope, { ...place, tenant: 'other' })),
          errorOf(() => sealer.open(`${envelope.slice(0, -2)}AA`, place)),
          errorOf(() => sealer.open(secret, place)),
          errorOf(() => new SecretSealer(parseKeyring(k1)).open(envelope, place)),
        ];
        const shown = inspect([errors, sealer], { depth: 10, showHidden: true });
        for (const hidden of [secret, k0.slice(3), Buffer.from(k0.slice(3), 'base64').toString('hex')]) {
          expect(shown).not.toContain(hidden);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('a change of master key', () => {
  const both = new SecretSealer(parseKeyring(`${k1},${k0}`));
  const after = new SecretSealer(parseKeyring(k1));

  it('leaves old secrets readable while both keys are there', () => {
    expect(both.open(sealer.seal('old', place), place)).toBe('old');
    expect(both.seal('new', place)).toMatch(/^hdl1\.k1\./);
  });

  it('is complete once every envelope is rewrapped, without a place and without the secret', () => {
    fc.assert(
      fc.property(secrets, places, (secret, where) => {
        const old = sealer.seal(secret, where);
        const rewrapped = both.rewrap(old);
        expect(after.open(rewrapped, where)).toBe(secret);
        expect(errorOf(() => after.open(old, where)).code).toBe('UNKNOWN_KEY');
        expect(rewrapped.split('.')[3]).toBe(old.split('.')[3]);
      }),
    );
  });

  it('leaves an envelope alone that is under the newest key', () => {
    const envelope = both.seal('x', place);
    expect(both.rewrap(envelope)).toBe(envelope);
  });

  it('finds out when an envelope was changed', () => {
    const envelope = sealer.seal('x', place);
    const [version, kid, wrapped = '', sealed] = envelope.split('.');
    const changed = [version, kid, `${wrapped.startsWith('A') ? 'B' : 'A'}${wrapped.slice(1)}`, sealed].join(
      '.',
    );
    expect(errorOf(() => both.rewrap(changed)).code).toBe('REFUSED');
  });
});

describe('a fingerprint', () => {
  it('is the same for the same text, and another one for any other', () => {
    fc.assert(
      fc.property(secrets, secrets, (one, other) => {
        expect(sealer.fingerprint(one) === sealer.fingerprint(other)).toBe(one === other);
      }),
    );
  });

  it('cannot be computed without the master key', () => {
    const stranger = new SecretSealer(parseKeyring(k1));
    expect(stranger.fingerprint('secret')).not.toBe(sealer.fingerprint('secret'));
  });
});

describe('isSealed', () => {
  it('knows an envelope by its form', () => {
    expect(isSealed(sealer.seal('', place))).toBe(true);
    for (const text of ['', 'password', '********', 'hdl1.k0.x.y', `${sealer.seal('x', place)} `]) {
      expect(isSealed(text)).toBe(false);
    }
  });
});
