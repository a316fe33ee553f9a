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
    'Host names of the hub beside that of PUBLIC_URL, host=tenant, comma-separated: whose recipes are read there without a key, which is not needed with one tenant. The same for all services: nothing is fetched from there, and no delivery goes there.',
  );

/** What tells a service where the outside reaches the hub. */
export interface PublicNames {
  readonly PUBLIC_URL?: URL | string | undefined;
  readonly PUBLIC_HOSTS: ReadonlyMap<string, string>;
}

/** Every host, with its port unless that is the usual one, under which the outside reaches the hub. */
export function hubHosts({ PUBLIC_URL, PUBLIC_HOSTS }: PublicNames): ReadonlySet<string> {
  const own = PUBLIC_URL === undefined ? undefined : new URL(PUBLIC_URL);
  const named = [...PUBLIC_HOSTS.keys()].flatMap((host) =>
    // Without a port it stands for the ports of the web, and for that of the hub.
    own === undefined || own.port === '' || hasPort(host) ? [host] : [host, `${host}:${own.port}`],
  );
  const hosts = named.flatMap((host) => [new URL(`https://${host}`).host, new URL(`http://${host}`).host]);
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
    ...[...hubHosts(config)].flatMap((host) => [`https://${host}`, `http://${host}`]),
    ...[STORE_URL, DISPATCHER_URL].filter((url) => url !== undefined),
    ...HUB_ADDRESSES,
  ];
}

function isHost(text: string): boolean {
  return /^[^\s/?#@\\]+$/.test(text) && URL.canParse(`https://${text}`);
}

function hasPort(host: string): boolean {
  return /:\d+$/.test(host);
}
