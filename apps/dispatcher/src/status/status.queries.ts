import { MAX_BREAKERS } from '@heddle/contracts';
import type { DispatcherStatus } from '@heddle/contracts';
import { query, queryWithin } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import { DELIVERIES, SHOWN_STATE } from '../deliveries/delivery.repository.js';
import type { Reader } from '../deliveries/delivery.repository.js';
import { firstIdAt } from '../deliveries/first-id-at.js';

const DAY_MS = 86_400_000;
/** Whoever asks how the hub does should not make it do worse. */
const COUNT_WITHIN_MS = 2_000;

interface StateCount {
  readonly state: string;
  readonly count: number;
}

/** What has not ended, by the integrations of the tenant: history is not read. */
export async function countOpen(
  dataSource: DataSource,
  { tenant, channel }: Reader,
): Promise<DispatcherStatus['deliveries']> {
  const rows = await queryWithin<StateCount & { readonly oldest: Date }>(
    dataSource,
    COUNT_WITHIN_MS,
    `SELECT ${SHOWN_STATE} AS state, count(*)::int AS count, min(d.created_at) AS oldest
     FROM ${DELIVERIES}
     WHERE i.tenant = $1 AND d.state IN ('waiting', 'ready', 'in-flight', 'retrying')
       AND ($2::text IS NULL OR d.channel = $2)
     GROUP BY 1`,
    [tenant, channel ?? null],
  );
  if (rows === undefined) return null;
  const of = counter(rows);
  const oldest = rows.filter(({ state }) => state !== 'in-flight').map((row) => row.oldest.getTime());
  return {
    waiting: of('waiting'),
    ready: of('ready'),
    'in-flight': of('in-flight'),
    retrying: of('retrying'),
    oldestWaitingAt: oldest.length === 0 ? null : new Date(Math.min(...oldest)).toISOString(),
  };
}

/** What was made within a day, and has ended: ids grow with time. */
export async function countLastDay(
  dataSource: DataSource,
  { tenant, channel }: Reader,
  now: Date,
): Promise<DispatcherStatus['lastDay']> {
  const rows = await queryWithin<StateCount>(
    dataSource,
    COUNT_WITHIN_MS,
    `SELECT state, count(*)::int AS count FROM dispatcher.deliveries
     WHERE tenant = $1 AND delivery_id >= $3 AND state IN ('succeeded', 'failed', 'superseded', 'cancelled')
       AND ($2::text IS NULL OR channel = $2)
     GROUP BY state`,
    [tenant, channel ?? null, firstIdAt(now.getTime() - DAY_MS)],
  );
  if (rows === undefined) return null;
  const of = counter(rows);
  return {
    succeeded: of('succeeded'),
    failed: of('failed'),
    superseded: of('superseded'),
    cancelled: of('cancelled'),
  };
}

/** Of integrations that deliver, and take orders of the reader's channel. */
export async function openBreakers(
  dataSource: DataSource,
  { tenant, channel }: Reader,
): Promise<DispatcherStatus['breakers']> {
  type Breaker = DispatcherStatus['breakers'][number];
  const rows = await query<Omit<Breaker, 'nextProbeAt'> & { readonly nextProbeAt: Date }>(
    dataSource,
    `SELECT i.integration_id AS "integrationId", i.destination, f.failures, f.probe_at AS "nextProbeAt"
     FROM dispatcher.integrations i
     JOIN dispatcher.integration_flow f ON f.integration_id = i.integration_id
     JOIN dispatcher.integration_versions v
       ON v.integration_id = i.integration_id AND v.version = i.approved_version
     WHERE i.tenant = $1 AND i.deleted_at IS NULL AND i.status IN ('enabled', 'paused') AND f.probe_at IS NOT NULL
       AND ($2::text IS NULL OR v.channels = '{}' OR $2 = ANY(v.channels))
     ORDER BY i.integration_id LIMIT ${String(MAX_BREAKERS)}`,
    [tenant, channel ?? null],
  );
  return rows.map((row) => ({ ...row, nextProbeAt: row.nextProbeAt.toISOString() }));
}

function counter(rows: readonly StateCount[]): (state: string) => number {
  const counts = new Map(rows.map(({ state, count }) => [state, count]));
  return (state) => counts.get(state) ?? 0;
}
