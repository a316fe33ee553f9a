import { Tenant } from '@heddle/contracts';
import { z } from 'zod';

/** `PUBLIC_HOSTS`: `host=tenant,host=tenant`, hosts in lower case. */
export const PublicHostsSetting = z
  .string()
  .default('')
  .transform((text, context): ReadonlyMap<string, string> => {
    const entries = text.split(',').flatMap((entry, index): [string, string][] => {
      if (entry.trim() === '') return [];
      const [host = '', tenant = ''] = entry.trim().split('=');
      if (isHost(host) && Tenant.safeParse(tenant).success) return [[host.toLowerCase(), tenant]];
      context.addIssue({ code: 'custom', message: `entry ${String(index + 1)} is not host=tenant` });
      return [];
    });
    return new Map(entries);
  })
  .describe(
    'Host names of the hub beside that of PUBLIC_URL, host=tenant, comma-separated: whose recipes are read there without a key, which is not needed with one tenant. The same for all services: nothing is fetched from there, and no delivery over HTTP goes there.',
  );

/** What tells a service where the outside reaches the hub. */
export interface PublicNames {
  readonly PUBLIC_URL?: URL | string | undefined;
  readonly PUBLIC_HOSTS: ReadonlyMap<string, string>;
}

/** Every host, with its port unless that is the usual one, under which the outside reaches the hub. */
export function hubHosts(names: PublicNames): ReadonlySet<string> {
  const own = publicUrlOf(names);
  const hosts = namedOrigins(names).map((origin) => new URL(origin).host);
  return new Set(own === undefined ? hosts : [own.host, ...hosts]);
}

/** Where no service of the hub connects to on behalf of a tenant, for the address guard. */
export function ownOrigins(
  config: PublicNames & {
    readonly HUB_ADDRESSES: readonly string[];
    readonly STORE_URL?: string | undefined;
    readonly DISPATCHER_URL?: string | undefined;
  },
): readonly string[] {
  const { HUB_ADDRESSES, STORE_URL, DISPATCHER_URL } = config;
  return [
    ...[publicUrlOf(config)?.origin, STORE_URL, DISPATCHER_URL].filter((url) => url !== undefined),
    ...namedOrigins(config),
    ...HUB_ADDRESSES,
  ];
}

/** Of `PUBLIC_HOSTS`, by either scheme. Without a port a host stands for the ports of the web, and for that of the hub. */
function namedOrigins(names: PublicNames): readonly string[] {
  const port = publicUrlOf(names)?.port ?? '';
  return [...names.PUBLIC_HOSTS.keys()]
    .flatMap((host) => (port === '' || hasPort(host) ? [host] : [host, `${host}:${port}`]))
    .flatMap((host) => [`https://${host}`, `http://${host}`]);
}

function publicUrlOf({ PUBLIC_URL }: PublicNames): URL | undefined {
  return PUBLIC_URL === undefined ? undefined : new URL(PUBLIC_URL);
}

function isHost(text: string): boolean {
  return /^[^\s/?#@\\]+$/.test(text) && URL.canParse(`https://${text}`);
}

function hasPort(host: string): boolean {
  return /:\d+$/.test(host);
}
