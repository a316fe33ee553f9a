import { z } from 'zod';

import type { SettingsEndpoint } from './settings-endpoint.js';

/** AWS and compatible stores use visible ASCII alone; what a person copies along with a key is noticed here. */
const key = (description: string) =>
  z
    .string()
    .min(1)
    .max(256)
    .regex(/^[\x21-\x7e]*$/, 'must consist of visible ASCII characters, without spaces')
    .meta({ description, secret: true });

const PREFIX_LEVEL = /^(?:[A-Za-z0-9!_.*'()@+=,-]|\{channel\})+$/;
const levelsOf = (prefix: string): string[] => prefix.split('/').filter((level) => level !== '');

/** Longest key is 1,024 bytes; a file's own name takes up to 180 of them, a channel up to 64. */
const MAX_PREFIX_CHARACTERS = 800;

/** Settings of one S3 integration, as the tenant enters them. Source: wire/drive.md 3.4. */
export const S3Settings = z.strictObject({
  'access-key-secret': key('Access key id. The key needs the right to write (s3:PutObject), and no other.'),
  'secret-key-secret': key('Secret access key.'),
  /** Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
  bucket: z
    .string()
    .regex(
      /^(?=.{3,63}$)[a-z0-9]+(?:[.-][a-z0-9]+|-+[a-z0-9]+)*$/,
      'must be 3 to 63 small letters, digits, hyphens and single dots, with a letter or digit at each end',
    )
    .refine((name) => !/^\d+(?:\.\d+){3}$/.test(name), 'must not look like an IP address')
    .meta({ description: 'Bucket for the files. It must exist.' }),
  region: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/, 'must be the name of a region, as in eu-west-1')
    .default('us-east-1')
    .meta({ description: 'Region of the bucket.' }),
  endpoint: z
    .string()
    .max(512)
    .superRefine((text, context) => {
      const reason = refusalOf(text);
      if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
    })
    .optional()
    .meta({
      description:
        'Address of a store that is compatible with S3, as in https://s3.example.com. Without it: AWS.',
    }),
  prefix: z
    .string()
    .max(400)
    .refine(
      (prefix) => levelsOf(prefix).every((level) => PREFIX_LEVEL.test(level)),
      "must consist of letters, digits, {channel} and the characters /!_.*'()@+=,-",
    )
    .refine(
      (prefix) => !levelsOf(prefix).some((level) => level === '.' || level === '..'),
      'must not contain "." or ".." as a level',
    )
    .refine(
      (prefix) => prefix.replaceAll('{channel}', 'x'.repeat(64)).length <= MAX_PREFIX_CHARACTERS,
      `must not exceed ${String(MAX_PREFIX_CHARACTERS)} characters with a channel of 64`,
    )
    .default('')
    .meta({
      description: 'Folder-like start of every name. May contain {channel}. Empty: the root of the bucket.',
    }),
  overwrite: z.boolean().default(true).meta({
    description:
      'False: a name that is taken is left alone, and is a failure unless the same bytes stand there.',
  }),
});
export type S3Settings = z.infer<typeof S3Settings>;

/** Settings that change where data goes: a new value waits for approval. Source: wire/drive.md 3.9. */
export const S3_ROUTING_SETTINGS: readonly (keyof S3Settings)[] = ['bucket', 'region', 'endpoint', 'prefix'];

export function s3Endpoint({ endpoint, region }: S3Settings): SettingsEndpoint {
  if (endpoint === undefined) return { setting: 'region', scheme: 'https', host: awsHost(region), port: 443 };
  const { protocol, hostname, port } = new URL(endpoint);
  const scheme = protocol === 'https:' ? 'https' : 'http';
  const standard = scheme === 'https' ? 443 : 80;
  return { setting: 'endpoint', scheme, host: hostname, port: port === '' ? standard : Number(port) };
}

/** Source: https://docs.aws.amazon.com/general/latest/gr/s3.html */
function awsHost(region: string): string {
  return `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

function refusalOf(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return 'must be an https address';
  if (/[\p{Cc}\s]/u.test(text)) return 'must not contain spaces or control characters';
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or password';
  if (url.search !== '' || url.hash !== '' || !/^\/*$/.test(url.pathname))
    return 'must be an address without a path, the bucket has a setting of its own';
  return undefined;
}
