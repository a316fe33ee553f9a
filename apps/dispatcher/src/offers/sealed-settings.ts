import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';

import type { EmailSettings } from '@heddle/contracts';
import type { Tx } from '@heddle/persistence';
import { SecretSealer } from '@heddle/secrets';

import type { DeliveryFacts } from '../deliveries/finished.js';
import { SEALER } from '../tokens.js';

export interface IntegrationVersion {
  readonly tenant: string;
  readonly integrationId: string;
  readonly version: number;
}

/** The field that the settings are sealed under as a whole; their secret members are envelopes of their own inside. */
export const SETTINGS_FIELD = 'settings';

/** Settings of approved versions, sealed as they travel. A version never changes, so neither does its envelope. */
@Injectable()
export class SealedSettings {
  private readonly cache = new LRUCache<string, string>({
    max: 1_000,
    maxSize: 32_000_000,
    sizeCalculation: length,
  });

  constructor(@Inject(SEALER) private readonly sealer: SecretSealer) {}

  /** One statement for all that are not known yet, none when all are. */
  async of(tx: Tx, versions: readonly IntegrationVersion[]): Promise<ReadonlyMap<string, string>> {
    const envelopes = new Map<string, string>();
    const unknown: IntegrationVersion[] = [];
    for (const version of versions) {
      const known = this.cache.get(versionKey(version));
      if (known === undefined) unknown.push(version);
      else envelopes.set(versionKey(version), known);
    }
    if (unknown.length > 0) {
      const rows = await tx.query<IntegrationVersion & { settings: unknown }>(
        `SELECT i.tenant, v.integration_id AS "integrationId", v.version, v.settings
         FROM json_to_recordset($1) AS w ("integrationId" uuid, version integer)
         JOIN dispatcher.integration_versions v
           ON v.integration_id = w."integrationId" AND v.version = w.version
         JOIN dispatcher.integrations i ON i.integration_id = v.integration_id`,
        [JSON.stringify(unknown)],
      );
      for (const { settings, ...version } of rows) {
        const { tenant, integrationId } = version;
        const place = { tenant, integrationId, field: SETTINGS_FIELD };
        const envelope = this.sealer.seal(JSON.stringify(settings), place);
        this.cache.set(versionKey(version), envelope);
        envelopes.set(versionKey(version), envelope);
      }
    }
    return envelopes;
  }

  /**
   * A notification has the list that it is for in place of settings of its integration.
   *
   * @returns envelopes by delivery id.
   */
  async ofNotifications(
    tx: Tx,
    deliveries: readonly Pick<DeliveryFacts, 'deliveryId' | 'tenant' | 'integrationId'>[],
  ): Promise<ReadonlyMap<string, string>> {
    if (deliveries.length === 0) return new Map();
    const rows = await tx.query<{ deliveryId: string; recipients: string }>(
      `SELECT delivery_id AS "deliveryId", recipients FROM dispatcher.notifications WHERE delivery_id = ANY($1)`,
      [deliveries.map(({ deliveryId }) => deliveryId)],
    );
    const recipientsOf = new Map(rows.map(({ deliveryId, recipients }) => [deliveryId, recipients]));
    return new Map(
      deliveries.map(({ deliveryId, tenant, integrationId }) => {
        const settings = {
          to: recipientsOf.get(deliveryId) ?? '',
          'subject-prefix': '',
        } satisfies EmailSettings;
        const place = { tenant, integrationId, field: SETTINGS_FIELD };
        return [deliveryId, this.sealer.seal(JSON.stringify(settings), place)];
      }),
    );
  }
}

export function versionKey({ integrationId, version }: Omit<IntegrationVersion, 'tenant'>): string {
  return `${integrationId}:${String(version)}`;
}

function length(text: string): number {
  return text.length;
}
