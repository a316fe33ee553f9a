import { z } from 'zod';

/** Short immutable name of a tenant, the first part of every key. */
export const Tenant = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);

/** The shop that a key or connection serves; `default` when it names none. */
export const Channel = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
export const DEFAULT_CHANNEL = 'default';

/** Opaque and case-sensitive. Source: wire/drive.md 1.2. */
export const RecipeId = z.string().regex(/^(?!\.)[A-Za-z0-9._-]{1,128}$/);

/** Order numbers, order ids and item ids: foreign text without control characters. */
export const ForeignId = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\p{Cc}]*$/u);

/** 64 hex digits, lower case. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Instant on the wire: ISO 8601 UTC. */
export const Instant = z.iso.datetime().refine((text) => !text.startsWith('0000'), 'there is no year 0');

/** Key of everything that must stay in order for one order. */
export function orderKey(tenant: string, orderNumber: string): string {
  return `${tenant}:${orderNumber}`;
}

/** Key of everything that must stay in order for one recipe. */
export function recipeKey(tenant: string, recipeId: string): string {
  return `${tenant}:${recipeId}`;
}
