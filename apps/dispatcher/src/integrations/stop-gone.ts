import { appendAudit } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';

import { SCHEMA } from '../schema/schema.js';

import { lockIntegration, readIntegration, updateIntegration } from './integration.repository.js';

/** A delivery whose target said that it is gone for good. */
export interface GoneTarget {
  readonly deliveryId: string;
  readonly tenant: string;
  readonly integrationId: string;
  /** That the attempt was made with. */
  readonly integrationVersion: number;
}

/** Who did it, in the audit: nobody asked for it. */
const ACTOR = 'hub';

/**
 * To be called before deliveries are locked: commands lock an integration first, too, and its deliveries after it.
 * One by one in the order of their ids, as everybody does who wants several.
 */
export async function lockForStop(
  tx: Tx,
  integrations: readonly Pick<GoneTarget, 'tenant' | 'integrationId'>[],
): Promise<void> {
  const tenantOf = new Map(integrations.map(({ tenant, integrationId }) => [integrationId, tenant]));
  for (const integrationId of [...tenantOf.keys()].sort())
    await lockIntegration(tx, tenantOf.get(integrationId) ?? '', integrationId);
}

/**
 * Disables the integrations of these deliveries, in the transaction in which the deliveries fail. An integration that
 * leads elsewhere by now is left alone, and so is one that is off already. What a disabled one has open is not
 * offered any more, and housekeeping ends it.
 *
 * @returns the first delivery of each integration that was disabled here: whoever is to be told is told of it once.
 */
export async function stopGone(tx: Tx, gone: readonly GoneTarget[]): Promise<readonly GoneTarget[]> {
  const stopped: GoneTarget[] = [];
  for (const target of gone) {
    const { tenant, integrationId, integrationVersion: version, deliveryId } = target;
    const row = await readIntegration(tx, tenant, integrationId);
    if (row?.approvedVersion !== version) continue;
    if (row.status !== 'enabled' && row.status !== 'paused') continue;
    await updateIntegration(tx, integrationId, { status: 'disabled' });
    await appendAudit(tx, SCHEMA, {
      tenant,
      actor: ACTOR,
      action: 'integration.disabled',
      subject: `integration:${integrationId}`,
      details: { version, code: 'GONE', deliveryId },
    });
    stopped.push(target);
  }
  return stopped;
}
