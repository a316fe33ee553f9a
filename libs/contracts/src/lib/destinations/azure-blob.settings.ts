import { z } from 'zod';

import { SECRET_MASK } from './secret-settings.js';
import { endpointOfUrl } from './settings-endpoint.js';
import type { SettingsEndpoint } from './settings-endpoint.js';

/** What a SAS connection string says: where the blob service is, and what lets us write there. */
export interface AzureBlobAccess {
  /** Address of the service, without a slash at its end. */
  readonly endpoint: string;
  /** The signature as a query, without its question mark. A secret. */
  readonly sas: string;
}

/** Unreadable for a reason that a person can mend. It never repeats what was given. */
class Unreadable extends Error {}

/** Source: https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name */
const ACCOUNT_NAME = /^[a-z0-9]{3,24}$/;
const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/;
/** Compatible installs put the account's name here. */
const ENDPOINT_PATH = /^(?:\/[A-Za-z0-9._~-]+)*$/;
/** Would make another request of ours. */
const REQUEST_PARAMETERS = ['comp', 'restype', 'blockid'];

/**
 * Reads the connection string that the portal, the command line and the storage explorer make for a SAS:
 * `BlobEndpoint=https://...;SharedAccessSignature=sv=...&sig=...`, or `AccountName` in place of the address.
 * Whether the SAS has expired is not for the settings to say: their judgement must not depend on the clock.
 *
 * Sources: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string and
 * https://learn.microsoft.com/rest/api/storageservices/create-service-sas.
 */
export function readAzureConnectionString(
  text: string,
):
  | { readonly access: AzureBlobAccess; readonly reason?: never }
  | { readonly access?: never; readonly reason: string } {
  try {
    const parts = partsOf(text);
    return { access: { sas: sasOf(parts), endpoint: endpointOf(parts) } };
  } catch (error) {
    if (error instanceof Unreadable) return { reason: error.message };
    throw error;
  }
}

function partsOf(text: string): ReadonlyMap<string, string> {
  if (/[\p{Cc}\s]/u.test(text.trim())) throw new Unreadable('must not contain spaces or control characters');
  if (/^https?:/i.test(text.trim()))
    throw new Unreadable(
      'must be a connection string, not an address: BlobEndpoint=...;SharedAccessSignature=...',
    );
  const parts = new Map<string, string>();
  for (const part of text.trim().split(';')) {
    if (part === '') continue;
    const at = part.indexOf('=');
    if (at < 1) throw new Unreadable('must consist of name=value pairs with ";" between them');
    const name = part.slice(0, at).toLowerCase();
    if (parts.has(name)) throw new Unreadable('must not name anything twice');
    parts.set(name, part.slice(at + 1));
  }
  return parts;
}

function sasOf(parts: ReadonlyMap<string, string>): string {
  const given = parts.get('sharedaccesssignature');
  if (given === undefined || given === '') {
    throw new Unreadable(
      parts.has('accountkey')
        ? 'must hold a SharedAccessSignature in place of the account key, which opens the whole account'
        : 'must hold a SharedAccessSignature',
    );
  }
  // A plus sign of a signature that was not encoded would be read as a space.
  const sas = new URLSearchParams(given.replace(/^\?/, '').replaceAll('+', '%2B'));
  const names = [...sas.keys()];
  if (new Set(names).size < names.length)
    throw new Unreadable('its SharedAccessSignature names something twice');
  if (REQUEST_PARAMETERS.some((name) => sas.has(name)))
    throw new Unreadable('its SharedAccessSignature holds parameters that do not belong to one');
  if (sas.get('sig') === null || sas.get('sig') === '' || !sas.has('sv'))
    throw new Unreadable('its SharedAccessSignature is not whole: sv and sig must be there');
  const services = sas.get('ss');
  if (services !== null && !services.includes('b'))
    throw new Unreadable('its SharedAccessSignature is not for the blob service (ss must contain b)');
  const types = sas.get('srt');
  if (types !== null && !types.includes('o'))
    throw new Unreadable('its SharedAccessSignature is not for objects (srt must contain o)');
  const resource = sas.get('sr');
  if (resource !== null && resource !== 'c' && resource !== 'd')
    throw new Unreadable(
      'its SharedAccessSignature is for a single blob: one for the container is needed (sr=c)',
    );
  // The rights may stand in a stored access policy, which only the service knows.
  const rights = sas.get('sp');
  if (rights === null && !sas.has('si'))
    throw new Unreadable(
      'its SharedAccessSignature names neither rights (sp) nor a stored access policy (si)',
    );
  if (rights !== null && !rights.includes('w'))
    throw new Unreadable('its SharedAccessSignature does not allow write (sp must contain w)');
  return sas.toString();
}

function endpointOf(parts: ReadonlyMap<string, string>): string {
  const given = parts.get('blobendpoint') ?? impliedEndpoint(parts);
  const url = URL.parse(given);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new Unreadable('its BlobEndpoint is not an https address');
  if (url.username !== '' || url.password !== '')
    throw new Unreadable('its BlobEndpoint must not contain a user name or password');
  if (url.search !== '' || url.hash !== '')
    throw new Unreadable(
      'its BlobEndpoint must be an address without a query: put the signature in SharedAccessSignature',
    );
  const path = url.pathname.replace(/\/$/, '');
  if (!ENDPOINT_PATH.test(path)) throw new Unreadable('its BlobEndpoint has a path that no account has');
  return `${url.origin}${path}`;
}

function impliedEndpoint(parts: ReadonlyMap<string, string>): string {
  const account = parts.get('accountname');
  if (account === undefined) {
    throw new Unreadable(
      parts.has('usedevelopmentstorage')
        ? 'must name its BlobEndpoint: the development storage has an address as well'
        : 'must name its BlobEndpoint, or its AccountName',
    );
  }
  const protocol = (parts.get('defaultendpointsprotocol') ?? 'https').toLowerCase();
  const suffix = parts.get('endpointsuffix') ?? 'core.windows.net';
  if (!ACCOUNT_NAME.test(account))
    throw new Unreadable('its AccountName must be 3 to 24 small letters and digits');
  if (protocol !== 'https' && protocol !== 'http')
    throw new Unreadable('its DefaultEndpointsProtocol must be https');
  if (!HOST_NAME.test(suffix)) throw new Unreadable('its EndpointSuffix is not a host name');
  return `${protocol}://${account}.blob.${suffix}`;
}

/** Longest name of a blob is 1,024 characters; a file's own name takes up to 180 of them, a channel up to 64. */
const MAX_PREFIX_CHARACTERS = 800;

/** Settings of one Azure Blob integration, as the tenant enters them. Source: wire/drive.md 3.4. */
export const AzureBlobSettings = z.strictObject({
  'connection-string-secure': z
    .string()
    .min(1)
    .max(4_096)
    .superRefine((text, context) => {
      if (text === SECRET_MASK) return;
      const { reason } = readAzureConnectionString(text);
      if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
    })
    .meta({
      description:
        'SAS connection string: BlobEndpoint=...;SharedAccessSignature=.... The SAS must allow write (sp=w) on the container; no other right is needed.',
      secret: true,
    }),
  /** Source: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
  container: z
    .string()
    .regex(
      /^(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*$/,
      'must be 3 to 63 small letters, digits and single hyphens, with a letter or digit at each end',
    )
    .meta({ description: 'Container for the files. It must exist: a SAS for it cannot make it.' }),
  prefix: z
    .string()
    .max(400)
    .regex(/^[^\p{Cc}\\]*$/u, 'must not contain control characters or backslashes')
    .refine(
      (path) => !path.split('/').some((level) => level.endsWith('.')),
      'must not have a level that ends in a dot',
    )
    .refine(
      (path) => path.replaceAll('{channel}', 'x'.repeat(64)).length <= MAX_PREFIX_CHARACTERS,
      `must not exceed ${String(MAX_PREFIX_CHARACTERS)} characters with a channel of 64`,
    )
    .default('')
    .meta({
      description:
        'Folder-like start of every name. May contain {channel}. Empty: the root of the container.',
    }),
  overwrite: z.boolean().default(true).meta({
    description:
      'False: a name that is taken is left alone, and is a failure unless the same bytes stand there.',
  }),
});
export type AzureBlobSettings = z.infer<typeof AzureBlobSettings>;

/** Settings that change where data goes: a new value waits for approval. Source: wire/drive.md 3.9. */
export const AZURE_BLOB_ROUTING_SETTINGS: readonly (keyof AzureBlobSettings)[] = [
  'connection-string-secure',
  'container',
  'prefix',
];

export function azureBlobEndpoint(settings: AzureBlobSettings): SettingsEndpoint | undefined {
  const { access } = readAzureConnectionString(settings['connection-string-secure']);
  if (access === undefined) return undefined;
  return endpointOfUrl('connection-string-secure', new URL(access.endpoint));
}

/** The address of the service, which receipts name as well. The signature is but a credential, and expires. */
export function azureBlobPlaces(settings: AzureBlobSettings): Readonly<Record<string, string>> {
  const { access } = readAzureConnectionString(settings['connection-string-secure']);
  return access === undefined ? {} : { 'connection-string-secure': access.endpoint };
}
