import { z } from 'zod';

/** What an API key may be allowed to do. `admin` allows everything. */
export const PERMISSIONS = [
  'order-tracking',
  'recipes:write',
  'recipes:read',
  'orders:read',
  'deliveries:read',
  'deliveries:trigger',
  'integrations:manage',
  'integrations:approve',
  'keys:manage',
  'admin',
] as const;
export const Permission = z.enum(PERMISSIONS);
export type Permission = z.infer<typeof Permission>;
