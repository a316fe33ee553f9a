import { Inject, Injectable } from '@nestjs/common';

import { DELIVERY_REQUESTED, DeliveryRequestedV1, deliveryRequestedTopic } from '@heddle/contracts';
import type { DestinationKind, OfferedFile } from '@heddle/contracts';
import { enqueue } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';
import { childOf, newId } from '@heddle/platform';

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

/**
 * A worker that died in the middle leaves files under temporary names. The lane's next offer takes them away; where
 * none will come, because the order was cancelled or the delivery has failed, an offer that nobody may attempt any
 * more does it: its worker removes what the earlier offers left, and sends nothing.
 */
@Injectable()
export class CleanUp {
  constructor(@Inject(SealedSettings) private readonly settings: SealedSettings) {}

  async enqueue(tx: Tx, deliveryIds: readonly string[]): Promise<void> {
    if (deliveryIds.length === 0) return;
    const abandoned = await tx.query<Abandoned>(
      `SELECT ${DELIVERY_FACTS}, i.destination AS "destinationKind", i.approved_version AS "approvedVersion", d.attempts,
              (SELECT json_agg(json_build_object('name', f.name, 'kind', f.kind, 'mimeType', f.mime_type,
                                                 'source', f.source) ORDER BY f.position)
               FROM dispatcher.delivery_files f WHERE f.delivery_id = d.delivery_id AND f.receipt IS NULL) AS files,
              ARRAY(SELECT o.offer_id FROM dispatcher.offers o
                    WHERE o.delivery_id = d.delivery_id AND o.started_at IS NOT NULL) AS "offerIds"
       FROM dispatcher.deliveries d JOIN dispatcher.integrations i USING (integration_id)
       WHERE d.delivery_id = ANY($1) AND i.status IN ('enabled', 'paused') AND i.deleted_at IS NULL
         AND EXISTS (SELECT FROM dispatcher.delivery_files f
                     WHERE f.delivery_id = d.delivery_id AND f.receipt IS NULL)`,
      [deliveryIds],
    );
    const versions = abandoned.map(({ tenant, integrationId, approvedVersion }) => ({
      tenant,
      integrationId,
      version: approvedVersion,
    }));
    const sealed = await this.settings.of(tx, versions);
    await enqueue(
      tx,
      SCHEMA,
      abandoned.map((delivery) => {
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
          attempt: delivery.attempts + 1,
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
      }),
    );
  }
}
