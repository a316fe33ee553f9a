import { describe, expect, it } from '@jest/globals';

import { S3Settings, s3Endpoint } from './s3.settings.js';

const GOOD = {
  'access-key-secret': 'AKIAEXAMPLE',
  'secret-key-secret': 'secret/of+test',
  bucket: 'press-room',
};
const judge = (fields: object) => S3Settings.safeParse({ ...GOOD, ...fields });
const namesOf = (fields: object) => judge(fields).error?.issues.map(({ path }) => path.join('.'));

describe('settings of an S3 integration', () => {
  it('need a key and a bucket alone', () => {
    expect(judge({}).data).toEqual({ ...GOOD, region: 'us-east-1', prefix: '', overwrite: true });
  });

  it.each([
    'ab',
    'a'.repeat(64),
    'Press',
    'press_room',
    '-press',
    'press-',
    'a..b',
    'a.-b',
    '10.0.0.1',
    'a/b',
    '',
  ])('refuse the bucket %j', (bucket) => expect(namesOf({ bucket })).toContain('bucket'));

  it.each(['abc', 'press.room-1', 'a--b', '123', 'a'.repeat(63)])('take the bucket %j', (bucket) => {
    expect(judge({ bucket }).success).toBe(true);
  });

  it.each(['evil.example/', 'eu-west-1.evil.example', 'EU', '', '-eu', 'a@b', 'a'.repeat(33)])(
    'refuse the region %j, which would lead to another host',
    (region) => expect(namesOf({ region })).toEqual(['region']),
  );

  it.each([
    ['no address', 'press', /https address/],
    ['another protocol', 'ftp://press.example', /https address/],
    ['a user', 'https://somebody:hunter2@press.example', /user name/],
    ['a path', 'https://press.example/press-room', /path/],
    ['a query', 'https://press.example/?list', /path/],
    ['a line break', 'https://press.example\n', /control/],
  ])('refuse an endpoint with %s, and repeat none of it', (_what, endpoint, reason) => {
    const { error } = judge({ endpoint });

    expect(error?.issues).toEqual([
      expect.objectContaining({ path: ['endpoint'], message: expect.stringMatching(reason) as unknown }),
    ]);
    expect(error?.message).not.toMatch(/hunter2|press\.example/);
  });

  it.each(['../other', 'a/./b', 'a\\b', 'a\u0000b', 'a b', '{tenant}', '{channel}/'.repeat(20), 'Größe'])(
    'refuse the prefix %j',
    (prefix) => expect(namesOf({ prefix })).toContain('prefix'),
  );

  it.each(['', 'in', '/in//{channel}/', 'a.b/shop-{channel}'])('take the prefix %j', (prefix) => {
    expect(judge({ prefix }).success).toBe(true);
  });

  it('refuse keys with spaces, empty ones, and what they do not know', () => {
    expect(namesOf({ 'access-key-secret': 'AKIA EXAMPLE' })).toEqual(['access-key-secret']);
    expect(namesOf({ 'secret-key-secret': '' })).toEqual(['secret-key-secret']);
    expect(judge({ overwrite: 'no' }).success).toBe(false);
    expect(judge({ acl: 'public-read' }).success).toBe(false);
  });

  it.each([
    [{}, { setting: 'region', scheme: 'https', host: 's3.us-east-1.amazonaws.com', port: 443 }],
    [
      { region: 'cn-north-1' },
      { setting: 'region', scheme: 'https', host: 's3.cn-north-1.amazonaws.com.cn', port: 443 },
    ],
    [
      { endpoint: 'https://s3.example.com' },
      { setting: 'endpoint', scheme: 'https', host: 's3.example.com', port: 443 },
    ],
    [
      { endpoint: 'http://[::ffff:127.0.0.1]:9000/' },
      { setting: 'endpoint', scheme: 'http', host: '[::ffff:7f00:1]', port: 9_000 },
    ],
    [{ endpoint: 'http://2130706433' }, { setting: 'endpoint', scheme: 'http', host: '127.0.0.1', port: 80 }],
  ])('say where %j leads to, in one spelling', (fields, endpoint) => {
    expect(s3Endpoint(S3Settings.parse({ ...GOOD, ...fields }))).toEqual(endpoint);
  });
});
