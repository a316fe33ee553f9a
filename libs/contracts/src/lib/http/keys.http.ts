import { z } from 'zod';

import { Channel, Instant } from '../identifiers.js';
import { Permission } from '../permissions.js';

import { pageOf, paging } from './paging.http.js';

/** `POST /api/v2/keys`. */
export const KeyCreate = z.strictObject({
  name: z.string().min(1).max(128),
  permissions: z.array(Permission).min(1).max(20),
  channel: Channel.optional(),
  expiresAt: Instant.optional(),
});
export type KeyCreate = z.infer<typeof KeyCreate>;

export const KeyView = z.object({
  id: z.uuid(),
  name: z.string(),
  permissions: z.array(Permission),
  channel: Channel.nullable(),
  createdAt: Instant,
  expiresAt: Instant.nullable(),
  revokedAt: Instant.nullable(),
  lastUsedAt: Instant.nullable(),
});
export type KeyView = z.infer<typeof KeyView>;
export const KeyPage = pageOf(KeyView);
export const KeysQuery = z.strictObject({ ...paging });
export type KeysQuery = z.infer<typeof KeysQuery>;

/** The one answer that shows the key. */
export const KeyCreated = KeyView.extend({ key: z.string() });
export type KeyCreated = z.infer<typeof KeyCreated>;
