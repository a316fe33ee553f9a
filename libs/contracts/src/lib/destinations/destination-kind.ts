import { z } from 'zod';

/** Kinds of destination. One outbound worker serves each kind; the word also ends its topic. */
export const DESTINATION_KINDS = ['email', 'sftp', 's3', 'azure-blob', 'zapier'] as const;
export const DestinationKind = z.enum(DESTINATION_KINDS);
export type DestinationKind = z.infer<typeof DestinationKind>;

/** Kinds of event that may start an integration. */
export const TRIGGERS = ['recipe.created', 'order.submitted', 'order.updated', 'order.cancelled'] as const;
export const Trigger = z.enum(TRIGGERS);
export type Trigger = z.infer<typeof Trigger>;
