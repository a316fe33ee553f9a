import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { SECRET_MASK } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';

import { changesBetween, isElsewhere, judge, masked, mergePatch, needsReview, placesOf } from './judge.js';

const HOST_KEY = `SHA256:${'A'.repeat(43)}`;
const good = {
  destination: 'sftp',
  settings: {
    host: 'sftp.example',
    username: 'heddle',
    'password-secret': 's3cret',
    'host-key-sha256': HOST_KEY,
    directory: '/in/{channel}',
  },
};

function faultsOf(
  input: unknown,
  stored?: ReadonlySet<string>,
): readonly { pointer: string; code: string }[] {
  try {
    judge(input, stored);
  } catch (error) {
    if (error instanceof ProblemError) {
      return (error.options.errors ?? []).map(({ pointer, code }) => ({ pointer, code }));
    }
    throw error;
  }
  return [];
}

describe('judging an integration', () => {
  it('fills in what was left out', () => {
    expect(judge(good).content).toMatchObject({
      triggers: ['order.submitted', 'order.updated'],
      channels: [],
      limits: { window: 16, perSecond: null },
      settings: { port: 22 },
    });
  });

  it('names every fault at once, those of the settings below /settings', () => {
    const faults = faultsOf({
      ...good,
      triggers: [],
      'failure-notification-list': 'ops@example.org, nobody',
      settings: { ...good.settings, host: 'a b', 'host-key-sha256': 'MD5:1', color: 'red' },
    });
    expect(faults.map(({ pointer }) => pointer).toSorted()).toEqual([
      '/failure-notification-list',
      '/settings',
      '/settings/host',
      '/settings/host-key-sha256',
      '/triggers',
    ]);
  });

  it('refuses the mask of a secret that was never set', () => {
    const settings = { ...good.settings, 'password-secret': SECRET_MASK };
    expect(faultsOf({ ...good, settings })).toEqual([
      { pointer: '/settings/password-secret', code: 'conflict' },
    ]);
    expect(judge({ ...good, settings }, new Set(['password-secret'])).kept).toEqual(['password-secret']);
  });

  it.each([null, 1, 'text', [], {}, { destination: 'fax' }, { destination: 'sftp', settings: [] }])(
    'refuses %j with words, not with a crash',
    (input) => {
      expect(faultsOf(input).length).toBeGreaterThan(0);
    },
  );

  it('never shows a secret', () => {
    expect(JSON.stringify(masked(judge(good).content.settings))).not.toContain('s3cret');
  });
});

describe('what waits for approval', () => {
  const { content } = judge(good);
  const changed = (change: object): boolean =>
    needsReview('sftp', changesBetween(content, judge(mergePatch(good, change)).content));

  it.each([
    [{ settings: { host: 'other.example' } }, true],
    [{ settings: { directory: '/elsewhere' } }, true],
    [{ settings: { username: 'other' } }, true],
    [{ settings: { 'host-key-sha256': `SHA256:${'B'.repeat(43)}` } }, true],
    [{ triggers: ['order.submitted'] }, true],
    [{ channels: ['outlet'] }, true],
    [{ settings: { 'password-secret': 'rotated' } }, false],
    [{ description: 'hall 3', 'failure-notification-list': 'ops@example.org' }, false],
    [{ limits: { window: 4 }, include: { preview: false } }, false],
  ])('%j: %s', (change, expected) => {
    expect(changed(change)).toBe(expected);
  });

  it('sees no change in the order of members', () => {
    const reversed = {
      ...content,
      settings: Object.fromEntries(Object.entries(content.settings).toReversed()),
    };
    expect(changesBetween(content, reversed)).toEqual([]);
  });
});

describe('what leads to another place', () => {
  const azure = (account: string, sig: string, container = 'press'): Record<string, unknown> => ({
    destination: 'azure-blob',
    settings: {
      'connection-string-secure': `AccountName=${account};SharedAccessSignature=sv=1&sp=w&sig=${sig}`,
      container,
    },
  });
  const hook = (url: string): Record<string, unknown> => ({
    destination: 'zapier',
    settings: { 'hook-url': url },
  });
  const leads = (from: Record<string, unknown>, to: Record<string, unknown>): boolean => {
    const [before, after] = [judge(from), judge(to)];
    const { destination } = before.content;
    const changes = changesBetween(before.content, after.content);
    return isElsewhere(destination, changes, placesOf(before, {}), placesOf(after, {}));
  };

  it.each([
    ['a new signature', azure('pressroom', 'b25l'), azure('pressroom', 'dHdv'), false],
    ['another account', azure('pressroom', 'b25l'), azure('printroom', 'b25l'), true],
    [
      'a new signature and another container',
      azure('pressroom', 'b25l'),
      azure('pressroom', 'dHdv', 'in-box'),
      true,
    ],
    [
      'another hook, which is all secret',
      hook('https://hooks.example/a'),
      hook('https://hooks.example/b'),
      true,
    ],
    ['another directory', good, mergePatch(good, { settings: { directory: '/elsewhere' } }), true],
    ['another password', good, mergePatch(good, { settings: { 'password-secret': 'rotated' } }), false],
  ])('%s', (_what, from, to, expected) => {
    expect(leads(from, to as Record<string, unknown>)).toBe(expected);
  });

  it('is every new value of a secret of which nobody has written down what it names', () => {
    const after = placesOf(judge(azure('pressroom', 'dHdv')), {});
    expect(isElsewhere('azure-blob', ['settings.connection-string-secure'], {}, after)).toBe(true);
  });

  it('stays what it was for a secret that is kept', () => {
    const { settings } = azure('pressroom', 'b25l') as { settings: object };
    const masks = { ...azure('', ''), settings: { ...settings, 'connection-string-secure': SECRET_MASK } };
    const places = placesOf(judge(azure('pressroom', 'b25l')), {});
    expect(placesOf(judge(masks, new Set(['connection-string-secure'])), places)).toEqual(places);
  });
});

describe('merge patches', () => {
  // The examples of RFC 7396, appendix A.
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j gives %j', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });

  it('give the same again, and leave no null of their own', () => {
    fc.assert(
      fc.property(fc.object(), fc.object(), (target, patch) => {
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });

  it('cannot reach a prototype', () => {
    mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'));
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
