import { z } from 'zod';

import { AddressList } from '../address-list.js';
import { DeliveryCode } from '../delivery-codes.js';
import { DestinationKind, Trigger } from '../destinations/destination-kind.js';
import { Receipt } from '../events/delivery-attempted.v1.js';
import { Channel, Instant } from '../identifiers.js';

import { pageOf, paging } from './paging.http.js';

const Limits = z.strictObject({
  /** Most offers open at once. */
  window: z.int().min(1).max(1_000).default(16),
  /** Most attempts started per second; null: no limit. */
  perSecond: z.number().positive().max(10_000).nullable().default(null),
});

const Include = z.strictObject({
  recipe: z.boolean().default(true),
  ticket: z.boolean().default(true),
  production: z.boolean().default(true),
  preview: z.boolean().default(true),
  attachment: z.boolean().default(true),
});

const editable = {
  description: z.string().max(512),
  triggers: z.array(Trigger).min(1).max(4),
  /** Empty: every channel. */
  channels: z.array(Channel).max(100),
  'success-notification-list': AddressList,
  'failure-notification-list': AddressList,
  /** Validated by the schema of the destination. */
  settings: z.record(z.string(), z.unknown()),
  limits: Limits,
  include: Include,
  /** Whether temporary recipes count for the recipe feed. */
  'temporary-recipes': z.boolean(),
};

/** `POST /api/v2/integrations`. */
export const IntegrationCreate = z.strictObject({
  destination: DestinationKind,
  description: editable.description.default(''),
  triggers: editable.triggers.default(['order.submitted', 'order.updated']),
  channels: editable.channels.default([]),
  'success-notification-list': AddressList.default(''),
  'failure-notification-list': AddressList.default(''),
  settings: editable.settings,
  limits: Limits.prefault({}),
  include: Include.prefault({}),
  'temporary-recipes': editable['temporary-recipes'].default(true),
});
export type IntegrationCreate = z.infer<typeof IntegrationCreate>;

/** `PATCH /api/v2/integrations/{id}` before the merge (RFC 7396): any part, null removes. Judged whole after the merge. */
export const IntegrationPatch = z.record(z.string(), z.unknown());

export const INTEGRATION_STATUSES = ['pending-review', 'enabled', 'paused', 'rejected', 'disabled'] as const;
export const IntegrationStatus = z.enum(INTEGRATION_STATUSES);
export type IntegrationStatus = z.infer<typeof IntegrationStatus>;

export const IntegrationView = z.object({
  integrationId: z.uuid(),
  destination: DestinationKind,
  status: IntegrationStatus,
  /** The newest version. */
  version: z.int(),
  /** The version that delivers, where one was approved. */
  approvedVersion: z.int().nullable(),
  /** Events accepted before it start nothing. */
  activeFrom: Instant.nullable(),
  ...editable,
  createdAt: Instant,
  updatedAt: Instant,
});
export type IntegrationView = z.infer<typeof IntegrationView>;
export const IntegrationPage = pageOf(IntegrationView);
export const IntegrationsQuery = z.strictObject({
  ...paging,
  destination: DestinationKind.optional(),
  status: IntegrationStatus.optional(),
});
export type IntegrationsQuery = z.infer<typeof IntegrationsQuery>;

export const IntegrationVersionView = z.object({
  version: z.int(),
  status: z.enum(['pending-review', 'approved', 'rejected', 'superseded']),
  actor: z.string(),
  createdAt: Instant,
  decidedBy: z.string().nullable(),
  decidedAt: Instant.nullable(),
  ...editable,
});
export type IntegrationVersionView = z.infer<typeof IntegrationVersionView>;
export const IntegrationVersionPage = pageOf(IntegrationVersionView);

/** `POST /api/v2/integrations/{id}/approve` and `/reject`: the version that the reviewer has seen. */
export const IntegrationDecision = z.strictObject({ version: z.int().min(1) });
export type IntegrationDecision = z.infer<typeof IntegrationDecision>;

/** `POST /api/v2/integrations/{integrationId}/test`. */
export const IntegrationTest = z.object({
  testId: z.uuid(),
  integrationId: z.uuid(),
  /** The newest, approved or not. */
  integrationVersion: z.int(),
  outcome: z.enum(['succeeded', 'failed']),
  /** Null when it succeeded. */
  code: DeliveryCode.nullable(),
  message: z.string().nullable(),
  receipts: z.array(Receipt),
  durationMs: z.number().nullable(),
});
export type IntegrationTest = z.infer<typeof IntegrationTest>;
