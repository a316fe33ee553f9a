import { describe, expect, it } from '@jest/globals';

import { SECRET_MASK } from './secret-settings.js';
import { ZapierSettings, zapierEndpoint } from './zapier.settings.js';

const HOOK = 'https://hooks.zapier.com/hooks/catch/123456/abcdef/';

describe('settings of a Zapier integration', () => {
  it('need the hook alone, and sign links unless told otherwise', () => {
    expect(ZapierSettings.parse({ 'hook-url': HOOK })).toEqual({
      'hook-url': HOOK,
      'recipe-links': 'signed',
    });
    expect(ZapierSettings.safeParse({ 'hook-url': HOOK, 'recipe-links': 'open' }).success).toBe(false);
    expect(ZapierSettings.safeParse({ 'hook-url': HOOK, method: 'PUT' }).success).toBe(false);
  });

  it.each([
    ['nothing', ''],
    ['no address', 'hooks.zapier.com/hooks/catch'],
    ['another scheme', 'ftp://hooks.zapier.com/a'],
    ['a script', 'javascript:alert(1)'],
    ['a user name', 'https://me@hooks.zapier.com/a'],
    ['a password', 'https://me:secret@hooks.zapier.com/a'],
    ['a line break', 'https://hooks.zapier.com/a\r\nHost: other'],
    ['a space', 'https://hooks.zapier.com/a b'],
    ['3,000 characters', `https://hooks.zapier.com/${'a'.repeat(3_000)}`],
  ])('refuse a hook of %s, without repeating it', (_, hook) => {
    const { error } = ZapierSettings.safeParse({ 'hook-url': hook });

    expect(error?.issues).toHaveLength(1);
    expect(error?.issues[0]?.path).toEqual(['hook-url']);
    expect(error?.issues[0]?.message).not.toMatch(/secret|hooks/);
  });

  it.each([
    [HOOK, { scheme: 'https', host: 'hooks.zapier.com', port: 443 }],
    ['http://127.0.0.1:8080/a', { scheme: 'http', host: '127.0.0.1', port: 8080 }],
    ['https://0x7f.1/a', { scheme: 'https', host: '127.0.0.1', port: 443 }],
    ['https://[::ffff:10.0.0.1]/a', { scheme: 'https', host: '[::ffff:a00:1]', port: 443 }],
  ])('say where %s leads to', (hook, endpoint) => {
    const settings = ZapierSettings.parse({ 'hook-url': hook });
    expect(zapierEndpoint(settings)).toEqual({ setting: 'hook-url', ...endpoint });
  });

  it('lead nowhere while the hook is masked', () => {
    expect(zapierEndpoint(ZapierSettings.parse({ 'hook-url': SECRET_MASK }))).toBeUndefined();
  });
});
