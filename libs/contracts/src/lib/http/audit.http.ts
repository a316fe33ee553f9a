import { z } from 'zod';

import { Instant } from '../identifiers.js';

import { pageOf, paging } from './paging.http.js';

/** Who did what, when. */
export const AuditEntry = z.object({
  auditId: z.uuid(),
  at: Instant,
  /** `key:<id>`, `command-line`, or `hub` for what nobody asked for. */
  actor: z.string(),
  /** `key.created`, `integration.approved`, ... */
  action: z.string(),
  /** What it was done to: `integration:<id>`, `key:<id>`. */
  subject: z.string(),
  details: z.record(z.string(), z.unknown()),
});
export type AuditEntry = z.infer<typeof AuditEntry>;
export const AuditPage = pageOf(AuditEntry);
export const AuditQuery = z.strictObject({ ...paging });
export type AuditQuery = z.infer<typeof AuditQuery>;
