import type { Tx } from '@heddle/persistence';

import type { DeliveryFacts } from '../deliveries/finished.js';

/** A delivery that has reached its final state in this transaction, of an integration with a notification list. */
export interface Ended {
  readonly row: Pick<DeliveryFacts, 'deliveryId' | 'integrationId' | 'laneKey' | 'channel' | 'kind'>;
  readonly hasFailed: boolean;
  /** It disabled its integration. */
  readonly hasStopped: boolean;
}

/**
 * Writes down what the notification lists of the approved versions are to be told: of each failure, of what succeeds
 * after a failure that was told, and of each success unless the integration is a mail itself. A success after a failure
 * has recovered. An empty list has nothing written down, and no notification is about a notification.
 *
 * The last statement of a transaction: two that have the same new window wait for each other here, and hold nothing
 * that the other one wants.
 */
export function recordNotices(tx: Tx, ended: readonly Ended[]): void {
  const rows = ended
    .filter(({ row }) => row.kind !== 'notification')
    .map(({ row, hasFailed, hasStopped }, place) => ({
      place,
      delivery_id: row.deliveryId,
      integration_id: row.integrationId,
      lane_key: row.laneKey,
      channel: row.channel,
      has_failed: hasFailed,
      has_stopped: hasStopped,
    }));
  if (rows.length === 0) return;
  tx.post(
    `WITH ended AS (
       SELECT e.*, btrim(v.failure_list) <> '' AS tells_failures,
              btrim(v.success_list) <> '' AND i.destination <> 'email' AS tells_successes
       FROM json_to_recordset($1) AS e (
         place integer, delivery_id uuid, integration_id uuid, lane_key text, channel text, has_failed boolean,
         has_stopped boolean)
       JOIN dispatcher.integrations i USING (integration_id)
       JOIN dispatcher.integration_versions v
         ON v.integration_id = i.integration_id AND v.version = i.approved_version),
     telling AS (
       SELECT ended.*, 'failure' AS list, 'failed' AS kind, NULL::uuid AS recovers
       FROM ended WHERE has_failed AND tells_failures
       UNION ALL
       SELECT ended.*, 'failure', 'recovered', last.delivery_id
       FROM ended CROSS JOIN LATERAL (
         SELECT n.delivery_id, n.kind FROM dispatcher.notices n
         WHERE n.lane_key = ended.lane_key AND n.list = 'failure' ORDER BY n.notice_id DESC LIMIT 1) last
       WHERE NOT has_failed AND tells_failures AND last.kind = 'failed'
       UNION ALL
       SELECT ended.*, 'success', CASE WHEN last.delivery_id IS NULL THEN 'succeeded' ELSE 'recovered' END,
              last.delivery_id
       FROM ended LEFT JOIN LATERAL (
         -- Whoever is told of successes alone has not been told of the failure: the lane knows it.
         SELECT e.delivery_id FROM (
           SELECT e.delivery_id, e.state
           FROM dispatcher.deliveries d
           JOIN dispatcher.deliveries e
             ON e.tenant = d.tenant AND e.subject = d.subject AND e.integration_id = d.integration_id
           WHERE d.delivery_id = ended.delivery_id AND e.delivery_id < d.delivery_id
             AND e.lane_key = d.lane_key AND e.state IN ('succeeded', 'failed')
           ORDER BY e.delivery_id DESC LIMIT 1) e
         WHERE e.state = 'failed') last ON true
       WHERE NOT has_failed AND tells_successes),
     made AS (
       INSERT INTO dispatcher.notices
         (integration_id, list, kind, delivery_id, lane_key, channel, recovers, has_stopped)
       SELECT integration_id, list, kind, delivery_id, lane_key, channel, recovers, has_stopped
       FROM telling ORDER BY place
       RETURNING integration_id, list)
     INSERT INTO dispatcher.notice_windows (integration_id, list)
     SELECT DISTINCT integration_id, list FROM made ORDER BY 1, 2
     ON CONFLICT (integration_id, list) DO NOTHING`,
    [JSON.stringify(rows)],
  );
}
