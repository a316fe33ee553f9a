import { describe, expect, it } from '@jest/globals';

import {
  AzureBlobSettings,
  azureBlobEndpoint,
  azureBlobPlaces,
  readAzureConnectionString,
} from './azure-blob.settings.js';
import { SECRET_MASK } from './secret-settings.js';

const SAS = 'sv=2025-07-05&se=2030-01-01T00%3A00%3A00Z&sr=c&sp=w&sig=c2lnbmF0dXJlK29mL3Rlc3Q%3D';
const HOST = 'https://pressroom.blob.core.windows.net';
const GOOD = `BlobEndpoint=${HOST}/;SharedAccessSignature=${SAS}`;

const withSas = (sas: string): string => `BlobEndpoint=${HOST};SharedAccessSignature=${sas}`;
const withEndpoint = (endpoint: string): string => `BlobEndpoint=${endpoint};SharedAccessSignature=${SAS}`;

describe('the connection string of an Azure Blob integration', () => {
  it.each([
    ['a blob endpoint', GOOD, HOST],
    [
      'all endpoints, as the portal prints them',
      `BlobEndpoint=${HOST}/;QueueEndpoint=https://pressroom.queue.core.windows.net/;FileEndpoint=https://pressroom.file.core.windows.net/;TableEndpoint=https://pressroom.table.core.windows.net/;SharedAccessSignature=${SAS}`,
      HOST,
    ],
    ['an account name', `AccountName=pressroom;SharedAccessSignature=${SAS}`, HOST],
    [
      'an account name in another cloud',
      `DefaultEndpointsProtocol=https;AccountName=pressroom;EndpointSuffix=core.chinacloudapi.cn;SharedAccessSignature=${SAS};`,
      'https://pressroom.blob.core.chinacloudapi.cn',
    ],
    ['names in another case', `blobendpoint=${HOST};sharedaccesssignature=?${SAS}`, HOST],
    [
      'the address of a compatible install',
      withEndpoint('http://127.0.0.1:10000/devstoreaccount1/'),
      'http://127.0.0.1:10000/devstoreaccount1',
    ],
  ])('is read from %s', (_what, text, endpoint) => {
    expect(readAzureConnectionString(text).access).toEqual({ endpoint, sas: SAS });
  });

  it('keeps a plus sign that was not encoded', () => {
    const { access } = readAzureConnectionString(withSas('sv=1&sp=w&sig=a+b/c='));

    expect(new URLSearchParams(access?.sas).get('sig')).toBe('a+b/c=');
  });

  it.each([
    ['rights', 'sv=1&sp=racw&sig=x'],
    ['a stored access policy', 'sv=1&si=policy&sr=c&sig=x'],
    ['a whole account', 'sv=1&ss=bq&srt=sco&sp=wac&sig=x'],
  ])('takes a signature with %s', (_what, sas) => {
    expect(readAzureConnectionString(withSas(sas)).reason).toBeUndefined();
  });

  it.each([
    ['nothing of the kind', 'hunter2', /pairs/],
    ['an address', `${HOST}/press?${SAS}`, /not an address/],
    ['a space inside', GOOD.replace(';', '; '), /spaces/],
    ['a line break inside', GOOD.replace(';', ';\r\n'), /control/],
    ['something twice', `${GOOD};BlobEndpoint=https://other.example`, /twice/],
    ['an account key', 'AccountName=pressroom;AccountKey=c2VjcmV0', /account key/],
    ['no signature', `BlobEndpoint=${HOST}`, /SharedAccessSignature/],
    ['the development storage', `UseDevelopmentStorage=true;SharedAccessSignature=${SAS}`, /BlobEndpoint/],
    ['no endpoint', `SharedAccessSignature=${SAS}`, /BlobEndpoint, or its AccountName/],
    ['an endpoint of another protocol', withEndpoint('ftp://pressroom.example'), /https address/],
    ['an endpoint that is none', withEndpoint('pressroom'), /https address/],
    ['a user name in the endpoint', withEndpoint('https://somebody:hunter2@pressroom.example'), /user name/],
    ['a query in the endpoint', withEndpoint(`${HOST}?comp=list`), /query/],
    ['an odd path in the endpoint', withEndpoint(`${HOST}/a%2fb`), /path/],
    ['an account name with a dot', `AccountName=a.b;SharedAccessSignature=${SAS}`, /AccountName/],
    [
      'an odd suffix',
      `AccountName=pressroom;EndpointSuffix=x/y;SharedAccessSignature=${SAS}`,
      /EndpointSuffix/,
    ],
    [
      'an odd protocol',
      `DefaultEndpointsProtocol=file;AccountName=pressroom;SharedAccessSignature=${SAS}`,
      /Protocol/,
    ],
    ['half a signature', withSas('sv=1&sp=w'), /sig/],
    ['a signature without rights', withSas('sv=1&sig=x'), /rights/],
    ['a signature for reading', withSas('sv=1&sp=rl&sig=x'), /does not allow write/],
    ['a signature for creating alone', withSas('sv=1&sp=c&sig=x'), /does not allow write/],
    ['a signature for one blob', withSas('sv=1&sr=b&sp=w&sig=x'), /container/],
    ['a signature for queues', withSas('sv=1&ss=q&srt=o&sp=w&sig=x'), /blob service/],
    ['a signature for services', withSas('sv=1&ss=b&srt=s&sp=w&sig=x'), /objects/],
    ['a right twice', withSas('sv=1&sp=w&sp=r&sig=x'), /twice/],
    ['another request in the signature', withSas('sv=1&sp=w&sig=x&comp=list'), /do not belong/],
  ])('is refused with %s, and the reason repeats none of it', (_what, text, reason) => {
    const answer = AzureBlobSettings.safeParse({ 'connection-string-secure': text, container: 'press' });

    expect(answer.error?.issues).toEqual([
      expect.objectContaining({
        path: ['connection-string-secure'],
        message: expect.stringMatching(reason) as unknown,
      }),
    ]);
    expect(answer.error?.message).not.toMatch(/pressroom|hunter2|somebody|c2lnbmF0dXJl/);
  });
});

describe('settings of an Azure Blob integration', () => {
  const settings = (fields: object) =>
    AzureBlobSettings.safeParse({ 'connection-string-secure': GOOD, container: 'press', ...fields });

  it('need a connection string and a container alone', () => {
    expect(settings({}).data).toMatchObject({ prefix: '', overwrite: true });
  });

  it.each([
    'ab',
    'a'.repeat(64),
    'Press',
    'press--room',
    '-press',
    'press-',
    'press_room',
    'a/b',
    '$root',
    '',
  ])('refuse the container %j', (container) => {
    expect(settings({ container }).error?.issues[0]?.path).toEqual(['container']);
  });

  it.each(['abc', 'press-room-1', '123', 'a'.repeat(63)])('take the container %j', (container) => {
    expect(settings({ container }).success).toBe(true);
  });

  it.each(['a\\b', '../other', 'a/./b', 'a/b.', 'a\u0000b', '{channel}/'.repeat(20)])(
    'refuse the prefix %j',
    (prefix) => {
      expect(settings({ prefix }).error?.issues[0]?.path).toEqual(['prefix']);
    },
  );

  it.each(['', 'in', '/in//{channel}/', 'Größe 1/in.d/x'])('take the prefix %j', (prefix) => {
    expect(settings({ prefix }).success).toBe(true);
  });

  it('refuse what they do not know', () => {
    expect(settings({ directory: 'in' }).success).toBe(false);
    expect(settings({ overwrite: 'no' }).success).toBe(false);
  });

  it.each([
    [GOOD, { scheme: 'https', host: 'pressroom.blob.core.windows.net', port: 443 }],
    [
      withEndpoint('http://[::ffff:127.0.0.1]:10000/acc'),
      { scheme: 'http', host: '[::ffff:7f00:1]', port: 10_000 },
    ],
    [withEndpoint('http://2130706433/acc'), { scheme: 'http', host: '127.0.0.1', port: 80 }],
  ])('say where they lead to, in one spelling', (text, endpoint) => {
    const parsed = AzureBlobSettings.parse({ 'connection-string-secure': text, container: 'press' });

    expect(azureBlobEndpoint(parsed)).toEqual({ setting: 'connection-string-secure', ...endpoint });
  });

  it('take the mask, which stands for a stored string and leads nowhere', () => {
    const parsed = AzureBlobSettings.parse({ 'connection-string-secure': SECRET_MASK, container: 'press' });

    expect(azureBlobEndpoint(parsed)).toBeUndefined();
    expect(azureBlobPlaces(parsed)).toEqual({});
  });

  it.each([
    ['an address', GOOD],
    ['a name of the account', `AccountName=pressroom;SharedAccessSignature=${SAS}`],
    [
      'another signature',
      `BlobEndpoint=${HOST.toUpperCase()};SharedAccessSignature=sv=1&sp=w&sig=b3RoZXI%3D`,
    ],
  ])('name one place with %s, and nothing of the signature', (_what, text) => {
    const parsed = AzureBlobSettings.parse({ 'connection-string-secure': text, container: 'press' });

    expect(azureBlobPlaces(parsed)).toEqual({ 'connection-string-secure': HOST });
  });
});
