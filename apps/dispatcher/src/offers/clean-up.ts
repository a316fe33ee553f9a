import { Inject, Injectable } from '@nestjs/common';

import { DELIVERY_REQUESTED, DeliveryRequestedV1, deliveryRequestedTopic } from '@heddle/contracts';
import type { DeliveryCode, DestinationKind, OfferedFile } from '@heddle/contracts';
import { enqueue } from '@heddle/persistence';
import type { OutboxRow, Tx } from '@heddle/persistence';
import { LOGGER, childOf, describeError, newId } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { DELIVERY_FACTS } from '../deliveries/finished.js';
import type { DeliveryFacts } from '../deliveries/finished.js';
import { SCHEMA } from '../schema/schema.js';

import { SealedSettings, versionKey } from './sealed-settings.js';

interface Abandoned extends DeliveryFacts {
  readonly destinationKind: DestinationKind;
  readonly approvedVersion: number;
  readonly attempts: number;
  readonly files: readonly OfferedFile[];
  readonly offerIds: readonly string[];
}

/** An attempt that fails with one of these has written nothing: it never got into the target, or had nothing for it. */
const NOTHING_WRITTEN = [
  'ADDRESS_REFUSED',
  'GONE',
  'HOST_KEY_MISMATCH',
  'INVALID_SETTINGS',
  'SOURCE_UNAVAILABLE',
] as const satisfies readonly DeliveryCode[];

/** Of offers `o`: a worker that died or lost its connection in the middle could not remove what it had written. */
export const MAY_HAVE_LEFT_FILES = `o.started_at IS NOT NULL AND o.outcome IS DISTINCT FROM 'succeeded'
  AND coalesce(o.code, '') NOT IN (${NOTHING_WRITTEN.map((code) => `'${code}'`).join(', ')})`;

/** Offers that one offer names. */
export const MAX_EARLIER_OFFERS = 50;

/**
 * An attempt that is cut off in the middle leaves files under temporary names. The delivery's next attempt takes them
 * away; where none will come, because the delivery has ended, an offer that nobody may attempt any more does it: its
 * worker removes what the earlier offers left, and sends nothing.
 */
@Injectable()
export class CleanUp {
  constructor(
    @Inject(SealedSettings) private readonly settings: SealedSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param deliveryIds deliveries that have ended in this transaction without success. */
  async enqueue(tx: Tx, deliveryIds: readonly string[]): Promise<void> {
    if (deliveryIds.length === 0) return;
    const abandoned = await tx.query<Abandoned>(
      `SELECT ${DELIVERY_FACTS}, i.destination AS "destinationKind", i.approved_version AS "approvedVersion", d.attempts,
              (SELECT json_agg(json_build_object('name', f.name, 'kind', f.kind, 'mimeType', f.mime_type,
                                                 'source', f.source) ORDER BY f.position)
               FROM dispatcher.delivery_files f WHERE f.delivery_id = d.delivery_id AND f.receipt IS NULL) AS files,
              ARRAY(SELECT o.offer_id FROM dispatcher.offers o
                    WHERE o.delivery_id = d.delivery_id AND ${MAY_HAVE_LEFT_FILES}
                    ORDER BY o.offer_id DESC LIMIT ${String(MAX_EARLIER_OFFERS)}) AS "offerIds"
       FROM dispatcher.deliveries d JOIN dispatcher.integrations i USING (integration_id)
       WHERE d.delivery_id = ANY($1) AND d.kind <> 'notification' AND i.approved_version IS NOT NULL
         AND EXISTS (SELECT FROM dispatcher.offers o
                     WHERE o.delivery_id = d.delivery_id AND ${MAY_HAVE_LEFT_FILES})
         AND EXISTS (SELECT FROM dispatcher.delivery_files f
                     WHERE f.delivery_id = d.delivery_id AND f.receipt IS NULL)
       ORDER BY d.delivery_id`,
      [deliveryIds],
    );
    if (abandoned.length === 0) return;
    const versions = abandoned.map(({ tenant, integrationId, approvedVersion }) => ({
      tenant,
      integrationId,
      version: approvedVersion,
    }));
    const sealed = await this.settings.of(tx, versions);
    enqueue(
      tx,
      SCHEMA,
      abandoned.flatMap((delivery) => {
        try {
          return [offerRow(delivery, sealed)];
        } catch (error) {
          // Whatever ends this delivery ends others as well, and must not fail for what is only tidiness.
          this.logger.error(
            { err: describeError(error), delivery_id: delivery.deliveryId, tenant_id: delivery.tenant },
            'clean-up.impossible',
          );
          return [];
        }
      }),
    );
  }
}

function offerRow(delivery: Abandoned, sealed: ReadonlyMap<string, string>): OutboxRow {
  const { integrationId, approvedVersion, kind, subject, orderNumber, orderId, version } = delivery;
  const offer = DeliveryRequestedV1.parse({
    deliveryId: delivery.deliveryId,
    offerId: newId(),
    notAfter: new Date(0).toISOString(),
    tenant: delivery.tenant,
    channel: delivery.channel,
    integrationId,
    integrationVersion: approvedVersion,
    trigger: delivery.trigger,
    // Spends none: it comes after the last one.
    attempt: Math.max(1, delivery.attempts),
    ...(kind === 'order' && { order: { orderUid: subject, orderNumber, orderId, version } }),
    recipeIds: delivery.recipeIds,
    sealedSettings: sealed.get(versionKey({ integrationId, version: approvedVersion })),
    files: delivery.files,
    earlierOfferIds: delivery.offerIds,
    acceptedAt: delivery.acceptedAt.toISOString(),
  });
  return {
    topic: deliveryRequestedTopic(delivery.destinationKind),
    key: delivery.laneKey,
    id: newId(),
    type: DELIVERY_REQUESTED,
    time: new Date().toISOString(),
    subject: delivery.deliveryId,
    tenant: delivery.tenant,
    traceparent: childOf(delivery.traceparent ?? undefined),
    data: JSON.stringify(offer),
  };
}
