import { isIP } from 'node:net';

import ipaddr from 'ipaddr.js';
import { z } from 'zod';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A range that a private installation opens, on one port or on all. */
export interface AllowedAddress {
  readonly range: readonly [Address, number];
  readonly port: number | undefined;
}

/**
 * Reads `127.0.0.1/32:2222,10.0.0.0/8,[fd00::/8]:22`. A single address stands for itself alone.
 *
 * @throws {RangeError} naming the entry that cannot be read.
 */
export function parseAllowedAddresses(list: string): readonly AllowedAddress[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(parseAllowedAddress);
}

/** `OUTBOUND_ALLOWED_ADDRESSES`, the same for every service that connects to what a tenant names. */
export const AllowedAddressesSetting = z
  .string()
  .transform((list, context) => {
    try {
      return parseAllowedAddresses(list);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'unreadable' });
      return z.NEVER;
    }
  })
  .default([])
  .describe(
    'Private addresses that deliveries may reach: CIDRs with an optional port, comma-separated. The same for all services.',
  );

/** `HUB_ADDRESSES`: what the hub itself listens on, metrics and health included. */
export const HubAddressesSetting = z
  .string()
  .default('')
  .transform((list) =>
    list
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ''),
  )
  .pipe(z.array(z.url({ protocol: /^https?$/ })))
  .describe(
    'Addresses of all services of the hub, internal ports included, comma-separated: deliveries never go there, allowed or not.',
  );

function parseAllowedAddress(entry: string): AllowedAddress {
  const match =
    /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(entry) ?? // [v6] or [v6]:port
    /^([0-9.]+(?:\/\d{1,2})?)(?::(\d{1,5}))?$/.exec(entry) ?? // v4 or v4:port
    /^([0-9A-Fa-f:.]+(?:\/\d{1,3})?)$/.exec(entry); // v6 without a port
  const text = match?.[1];
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  try {
    if (text === undefined || (port !== undefined && (port < 1 || port > 65_535)))
      throw new RangeError(entry);
    const [address = '', bits] = text.split('/');
    if (isIP(address) === 0) throw new RangeError(entry);
    const parsed = ipaddr.parse(address);
    return { range: ipaddr.parseCIDR(`${address}/${bits ?? (parsed.kind() === 'ipv4' ? 32 : 128)}`), port };
  } catch {
    throw new RangeError(`reading the allowed address "${entry}": not a CIDR with an optional port`);
  }
}

export function isAllowed(address: string, port: number, allowed: readonly AllowedAddress[]): boolean {
  const parsed = canonical(address);
  return allowed.some(
    (entry) =>
      (entry.port === undefined || entry.port === port) &&
      entry.range[0].kind() === parsed.kind() &&
      parsed.match([entry.range[0], entry.range[1]] as never),
  );
}

/** Global unicast: what IANA has handed out of IPv6. */
const IPV6_GLOBAL = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

/** Answers to virtual machines of one cloud although its range is public. Source: Microsoft, "What is IP address 168.63.129.16?" */
const PLATFORM_ADDRESSES: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * True for an address of the public internet. False for everything else: private, loopback,
 * link-local (cloud metadata), unique-local, shared (CGNAT), multicast, unspecified,
 * documentation, and all forms that wrap an IPv4 address (mapped, 6to4, Teredo, NAT64).
 */
export function isPublic(address: string): boolean {
  const parsed = canonical(address);
  if (parsed.range() !== 'unicast') return false;
  if (parsed instanceof ipaddr.IPv6) return parsed.match(IPV6_GLOBAL);
  return !PLATFORM_ADDRESSES.has(parsed.toString());
}

/** Two spellings of one address are equal; IPv4 inside IPv6 is IPv4. */
export function sameAddress(left: string, right: string): boolean {
  return canonical(left).toNormalizedString() === canonical(right).toNormalizedString();
}

function canonical(address: string): Address {
  // `fe80::1%eth0`: the zone says nothing about the range.
  return ipaddr.process(address.split('%')[0] ?? address);
}
