import { Inject, Injectable } from '@nestjs/common';

import { MAX_NOTIFIED } from '@heddle/contracts';
import type { DestinationKind, NotificationKind, Trigger } from '@heddle/contracts';
import { inTransaction } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { LOGGER, describeError, newId, newTraceparent } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import { laneKey } from '../events/fact.js';
import { DATA_SOURCE, POLICY } from '../tokens.js';
import type { Policy } from '../tokens.js';

import { notificationOf } from './notification-of.js';
import type { NoticeCounts, NoticeKind, NoticedDelivery } from './notification-of.js';
import { ensureSenders } from './sender.js';

/** Lists of one transaction. */
const MAX_LISTS = 20;
/** Of one delivery; a digest shows the last reason alone. */
const MAX_FAILURES = 20;
const MAX_RECIPES = 100;
const MAX_MESSAGE_CHARACTERS = 500;

/** Mails about orders of several shops are for no key of one of them: no channel is called like this. */
const SEVERAL_CHANNELS = '*';

interface DueRow {
  readonly notificationId: string;
  readonly integrationId: string;
  readonly tenant: string;
  readonly destination: DestinationKind;
  readonly description: string;
  readonly list: 'failure' | 'success';
  readonly recipients: string;
}

interface ClaimedRow {
  readonly notificationId: string;
  readonly kind: NoticeKind;
  readonly deliveryId: string;
  readonly recovers: string | null;
  readonly hasStopped: boolean;
  readonly channel: string;
  /** Of this kind, shown or not. */
  readonly count: number;
}

interface DetailRow extends NoticedDelivery {
  readonly notificationId: string;
  readonly trigger: Trigger;
}

export interface MadeNotification {
  readonly deliveryId: string;
  readonly tenant: string;
  readonly integrationId: string;
  readonly list: 'failure' | 'success';
  readonly kind: NotificationKind;
  readonly notices: number;
}

/** Turns notices into deliveries of kind `notification`. */
@Injectable()
export class NoticeRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Of each list whose window is over: what has gathered in it as one notification, or else the first notice alone,
   * which opens a window for those that follow. Lists that another dispatcher holds are left to it.
   *
   * Notices are settled in the transaction that makes their notification: each is told once, whoever dies when. Those
   * of a notification that cannot be made stay open, and are tried again after a window.
   */
  async notify(): Promise<{ readonly made: readonly MadeNotification[]; readonly more: boolean }> {
    return await inTransaction(this.dataSource, async (tx) => {
      const due = await this.lockDue(tx);
      if (due.length === 0) return { made: [], more: false };
      const claimed = Map.groupBy(await this.claim(tx, due), ({ notificationId }) => notificationId);
      const telling = due.filter(
        ({ notificationId, recipients }) => claimed.has(notificationId) && recipients.trim() !== '',
      );
      const details = Map.groupBy(
        await readDetails(
          tx,
          telling.map(({ notificationId }) => claimed.get(notificationId) ?? []),
        ),
        ({ notificationId }) => notificationId,
      );
      const senders = await ensureSenders(tx, [...new Set(telling.map(({ tenant }) => tenant))]);
      const impossible: string[] = [];
      const made = telling.flatMap((list) => {
        try {
          const sender = senders.get(list.tenant);
          if (sender === undefined) throw new TypeError('a tenant has nothing that sends its notifications');
          const content = {
            claimed: claimed.get(list.notificationId) ?? [],
            shown: details.get(list.notificationId) ?? [],
          };
          return [makeOne(list, sender, content)];
        } catch (error) {
          // One list that cannot be told must not keep all the others waiting for ever.
          const { notificationId, tenant: tenant_id, integrationId: integration_id } = list;
          impossible.push(notificationId);
          this.logger.error(
            { err: describeError(error), tenant_id, integration_id },
            'notification.impossible',
          );
          return [];
        }
      });
      putBack(tx, impossible);
      insert(
        tx,
        made.map(({ row }) => row),
      );
      return { made: made.map(({ told }) => told), more: due.length >= MAX_LISTS };
    });
  }

  private async lockDue(tx: Tx): Promise<readonly DueRow[]> {
    const rows = await tx.query<Omit<DueRow, 'notificationId'>>(
      `SELECT w.integration_id AS "integrationId", w.list, i.tenant, i.destination, v.description,
              CASE w.list WHEN 'failure' THEN v.failure_list ELSE v.success_list END AS recipients
       FROM dispatcher.notice_windows w
       JOIN dispatcher.integrations i USING (integration_id)
       JOIN dispatcher.integration_versions v
         ON v.integration_id = i.integration_id AND v.version = i.approved_version
       WHERE coalesce(w.opened_at, '-infinity') <= clock_timestamp() - make_interval(secs => $1::float8 / 1000)
         AND EXISTS (SELECT FROM dispatcher.notices n
                     WHERE n.integration_id = w.integration_id AND n.list = w.list AND n.settled_at IS NULL)
       ORDER BY w.opened_at NULLS FIRST LIMIT ${String(MAX_LISTS)} FOR UPDATE OF w SKIP LOCKED`,
      [this.policy.notificationWindowMs],
    );
    return rows.map((row) => ({ ...row, notificationId: newId() }));
  }

  /** Settles the notices and opens the next windows. @returns the first of each kind, with how many there are. */
  private async claim(tx: Tx, due: readonly DueRow[]): Promise<readonly ClaimedRow[]> {
    const lists = JSON.stringify(
      due.map(({ notificationId, integrationId, list, recipients }) => ({
        notification_id: notificationId,
        integration_id: integrationId,
        list,
        is_told: recipients.trim() !== '',
      })),
    );
    const DUE = `json_to_recordset($1) AS d (notification_id uuid, integration_id uuid, list text, is_told boolean)`;
    const rows = await tx.query<ClaimedRow>(
      `WITH first AS (
         SELECT d.*, o.notice_id,
                coalesce(w.opened_at, '-infinity') + make_interval(secs => $2::float8 / 1000) < o.created_at AS is_alone
         FROM ${DUE}
         JOIN dispatcher.notice_windows w USING (integration_id, list)
         CROSS JOIN LATERAL (
           SELECT n.notice_id, n.created_at FROM dispatcher.notices n
           WHERE n.integration_id = d.integration_id AND n.list = d.list AND n.settled_at IS NULL
           ORDER BY n.notice_id LIMIT 1) o),
       claimed AS (
         UPDATE dispatcher.notices n SET
           settled_at = clock_timestamp(), notification_id = CASE WHEN f.is_told THEN f.notification_id END
         FROM first f
         WHERE n.integration_id = f.integration_id AND n.list = f.list AND n.settled_at IS NULL
           AND (NOT f.is_alone OR n.notice_id = f.notice_id)
         RETURNING f.notification_id, n.notice_id, n.kind, n.delivery_id, n.recovers, n.has_stopped, n.channel),
       counted AS (
         SELECT c.*, row_number() OVER (PARTITION BY notification_id, kind ORDER BY notice_id) AS place,
                count(*) OVER (PARTITION BY notification_id, kind)::int AS count,
                min(channel) OVER (PARTITION BY notification_id) AS lowest,
                max(channel) OVER (PARTITION BY notification_id) AS highest
         FROM claimed c)
       SELECT notification_id AS "notificationId", kind, delivery_id AS "deliveryId", recovers,
              has_stopped AS "hasStopped", count,
              CASE WHEN lowest = highest THEN lowest ELSE '${SEVERAL_CHANNELS}' END AS channel
       FROM counted WHERE place <= ${String(MAX_NOTIFIED)} ORDER BY notice_id`,
      [lists, this.policy.notificationWindowMs],
    );
    tx.post(
      `UPDATE dispatcher.notice_windows w SET opened_at = clock_timestamp()
       FROM ${DUE}
       WHERE w.integration_id = d.integration_id AND w.list = d.list AND d.is_told AND d.notification_id = ANY($2)`,
      [lists, [...new Set(rows.map(({ notificationId }) => notificationId))]],
    );
    return rows;
  }
}

function putBack(tx: Tx, notificationIds: readonly string[]): void {
  if (notificationIds.length === 0) return;
  tx.post(
    `UPDATE dispatcher.notices SET settled_at = NULL, notification_id = NULL
     WHERE notification_id = ANY($1) AND settled_at IS NOT NULL`,
    [notificationIds],
  );
}

/** With the reasons of what failed: of the delivery itself, and of the one that it makes good. */
async function readDetails(tx: Tx, lists: readonly (readonly ClaimedRow[])[]): Promise<readonly DetailRow[]> {
  const rows = lists.flatMap((claimed) =>
    claimed.map(({ notificationId, kind, deliveryId, recovers, hasStopped }) => ({
      notification_id: notificationId,
      kind,
      delivery_id: deliveryId,
      recovers,
      has_stopped: hasStopped,
      // Where there are several, it is a digest.
      failures: claimed.length === 1 ? MAX_FAILURES : 1,
      recipes: claimed.length === 1 ? MAX_RECIPES : 1,
    })),
  );
  if (rows.length === 0) return [];
  const failure = (attempt: string, at: string, of: string): string =>
    `json_build_object('attempt', greatest(1, ${attempt}), 'at', to_char(${at} AT TIME ZONE 'UTC', '${ISO}'),
       'code', ${of}.code, 'message', left(coalesce(${of}.message, ''), ${String(MAX_MESSAGE_CHARACTERS)}))`;
  return await tx.query<DetailRow>(
    `SELECT c.notification_id AS "notificationId", c.kind, d.delivery_id AS "deliveryId", d.trigger,
            d.order_number AS "orderNumber", d.order_id AS "orderId", d.recipe_ids[1:c.recipes] AS "recipeIds",
            cardinality(d.recipe_ids) AS "recipeCount", c.has_stopped AS "hasStopped",
            coalesce(a.attempts, '[]') AS attempts,
            CASE WHEN f.code IS NOT NULL THEN ${failure('f.attempts', 'f.finished_at', 'f')} END AS "end"
     FROM json_to_recordset($1) AS c (
       notification_id uuid, kind text, delivery_id uuid, recovers uuid, has_stopped boolean, failures integer,
       recipes integer, place integer)
     JOIN dispatcher.deliveries d ON d.delivery_id = c.delivery_id
     LEFT JOIN dispatcher.deliveries f
       ON f.delivery_id = coalesce(c.recovers, c.delivery_id) AND f.state = 'failed'
     CROSS JOIN LATERAL (
       SELECT json_agg(${failure('o.attempt', 'o.finished_at', 'o')} ORDER BY o.offer_id) AS attempts
       FROM (SELECT * FROM dispatcher.offers o
             WHERE o.delivery_id IN (c.delivery_id, c.recovers) AND o.outcome = 'failed' AND o.code IS NOT NULL
             ORDER BY o.offer_id DESC LIMIT c.failures) o) a
     ORDER BY c.place`,
    [JSON.stringify(rows.map((row, place) => ({ ...row, place })))],
  );
}
const ISO = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';

function makeOne(
  list: DueRow,
  sender: string,
  { claimed, shown }: { readonly claimed: readonly ClaimedRow[]; readonly shown: readonly DetailRow[] },
): { readonly row: Readonly<Record<string, unknown>>; readonly told: MadeNotification } {
  const { notificationId: deliveryId, tenant, integrationId, recipients } = list;
  const countOf = (kind: NoticeKind): number => claimed.find((each) => each.kind === kind)?.count ?? 0;
  const counts: NoticeCounts = {
    failed: countOf('failed'),
    recovered: countOf('recovered'),
    succeeded: countOf('succeeded'),
  };
  const notification = notificationOf(list, counts, shown);
  return {
    row: {
      delivery_id: deliveryId,
      tenant,
      sender,
      trigger: shown[0]?.trigger,
      event_id: newId(),
      lane_key: laneKey(tenant, sender, deliveryId),
      channel: claimed[0]?.channel,
      traceparent: newTraceparent(),
      integration_id: integrationId,
      list: list.list,
      kind: notification.kind,
      recipients,
      source: { kind: 'inline', text: JSON.stringify(notification) },
    },
    told: {
      deliveryId,
      tenant,
      integrationId,
      list: list.list,
      kind: notification.kind,
      notices: counts.failed + counts.recovered + counts.succeeded,
    },
  };
}

/** Frozen from the start: what a notification says is what was true when it was made. */
function insert(tx: Tx, rows: readonly Readonly<Record<string, unknown>>[]): void {
  if (rows.length === 0) return;
  tx.post(
    `WITH made AS (
       SELECT * FROM json_to_recordset($1) AS m (
         delivery_id uuid, tenant text, sender uuid, trigger text, event_id uuid, lane_key text, channel text,
         traceparent text, integration_id uuid, list text, kind text, recipients text, source json)),
     deliveries AS (
       INSERT INTO dispatcher.deliveries
         (delivery_id, tenant, integration_id, integration_version, destination, trigger, event_id, kind, subject,
          lane_key, channel, recipe_ids, version, state, frozen_at, accepted_at, traceparent)
       SELECT delivery_id, tenant, sender, 1, 'email', trigger, event_id, 'notification', delivery_id, lane_key,
              channel, '{}', 1, 'ready', now(), now(), traceparent
       FROM made),
     notifications AS (
       INSERT INTO dispatcher.notifications (delivery_id, integration_id, list, kind, recipients)
       SELECT delivery_id, integration_id, list, kind, recipients FROM made)
     INSERT INTO dispatcher.delivery_files (delivery_id, position, name, kind, mime_type, source)
     SELECT delivery_id, 0, 'notification.json', 'notification', 'application/json', source FROM made`,
    [JSON.stringify(rows)],
  );
}
