import { z } from 'zod';

import type { SettingsEndpoint } from './settings-endpoint.js';

const secret = (description: string, max: number) =>
  z.string().min(1).max(max).optional().meta({ description, secret: true });

/** Settings of one SFTP integration, as the tenant enters them. Source: wire/drive.md 3.4. */
export const SftpSettings = z
  .strictObject({
    host: z
      .string()
      .regex(
        /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$/,
        'must be a host name or an IP address',
      )
      .meta({ description: 'Host name or IP address of the SFTP server.' }),
    port: z.int().min(1).max(65_535).default(22),
    username: z
      .string()
      .min(1)
      .max(128)
      .regex(/^[^\p{Cc}]*$/u, 'must not contain control characters'),
    'password-secret': secret('Password. Either this or a private key.', 1_024),
    'private-key-secret': secret('Private key in OpenSSH or PEM form. Either this or a password.', 32_768),
    'passphrase-secret': secret('Passphrase of the private key, where it has one.', 1_024),
    'host-key-sha256': z
      .string()
      .regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/, 'must be a fingerprint as ssh-keygen -l prints it: SHA256:...')
      .meta({ description: 'SHA-256 fingerprint of the server host key, as `ssh-keygen -lf` prints it.' }),
    directory: z
      .string()
      .max(1_024)
      .regex(/^[^\p{Cc}\\]*$/u, 'must not contain control characters or backslashes')
      .refine((path) => !path.split('/').includes('..'), 'must not contain ".."')
      .default('.')
      .meta({ description: 'Folder for the files, created when missing. May contain {channel}.' }),
  })
  .superRefine((settings, context) => {
    const has = (name: keyof typeof settings): boolean => settings[name] !== undefined;
    if (has('password-secret') === has('private-key-secret')) {
      context.addIssue({
        code: 'custom',
        path: ['password-secret'],
        message: 'give either password-secret or private-key-secret',
      });
    }
    if (has('passphrase-secret') && !has('private-key-secret')) {
      context.addIssue({
        code: 'custom',
        path: ['passphrase-secret'],
        message: 'passphrase-secret needs private-key-secret',
      });
    }
  });
export type SftpSettings = z.infer<typeof SftpSettings>;

/** Settings that change where data goes: a new value waits for approval. Source: wire/drive.md 3.9. */
export const SFTP_ROUTING_SETTINGS: readonly (keyof SftpSettings)[] = [
  'host',
  'port',
  'username',
  'host-key-sha256',
  'directory',
];

export function sftpEndpoint({ host, port }: SftpSettings): SettingsEndpoint {
  return { setting: 'host', scheme: 'sftp', host, port };
}
