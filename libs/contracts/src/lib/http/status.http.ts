import { z } from 'zod';

import { DestinationKind } from '../destinations/destination-kind.js';
import { Instant } from '../identifiers.js';

/** Most breakers that one answer shows. */
export const MAX_BREAKERS = 200;

const Count = z.int().min(0);

/** By topic: messages that a service has not taken yet; a topic of which it does not know is missing. */
const Lag = z.record(z.string(), Count);

/** What the dispatcher says of a tenant. */
export const DispatcherStatus = z.object({
  /** Those that have not ended, as their list shows them; null: it would take too long to count them. */
  deliveries: z
    .object({
      waiting: Count,
      ready: Count,
      'in-flight': Count,
      retrying: Count,
      /** Of the oldest that is not in flight. */
      oldestWaitingAt: Instant.nullable(),
    })
    .nullable(),
  /** Those that were made within 24 hours and have ended; null as above. */
  lastDay: z.object({ succeeded: Count, failed: Count, superseded: Count, cancelled: Count }).nullable(),
  /** Integrations whose destination fails, so that only probes go out. */
  breakers: z
    .array(
      z.object({
        integrationId: z.uuid(),
        destination: DestinationKind,
        failures: Count,
        nextProbeAt: Instant,
      }),
    )
    .max(MAX_BREAKERS),
  lag: Lag,
});
export type DispatcherStatus = z.infer<typeof DispatcherStatus>;

/** What the store of orders says of a tenant. */
export const StoreStatus = z.object({
  /** Items of open orders whose recipe is not there yet; null: it would take too long to count them. */
  waitingForRecipe: z.object({ items: Count, oldestAt: Instant.nullable() }).nullable(),
  lag: Lag,
});
export type StoreStatus = z.infer<typeof StoreStatus>;

/** `GET /api/v2/status`: what its service does not say at the moment is null. */
export const HubStatus = z.object({
  deliveries: DispatcherStatus.shape.deliveries,
  lastDay: DispatcherStatus.shape.lastDay,
  breakers: DispatcherStatus.shape.breakers.nullable(),
  waitingForRecipe: StoreStatus.shape.waitingForRecipe,
  /** Messages that each service has still to take, of all tenants. */
  lag: z.object({ 'association-store': Lag.nullable(), dispatcher: Lag.nullable() }),
});
export type HubStatus = z.infer<typeof HubStatus>;
