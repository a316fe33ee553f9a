import { migration } from '@heddle/persistence';

export const CreateNotices = migration(
  'CreateNotices1763700011000',
  `-- Notifications are deliveries. What sends them is nobody's: one for each tenant, not listed, not changed, started
   -- by no event. Its window and breaker are its own, so that no other integration holds up a mail about itself.
   ALTER TABLE dispatcher.integrations ADD COLUMN is_internal boolean NOT NULL DEFAULT false;
   CREATE UNIQUE INDEX integrations_internal ON dispatcher.integrations (tenant) WHERE is_internal;

   ALTER TABLE dispatcher.deliveries
     DROP CONSTRAINT deliveries_kind_check,
     ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('order', 'recipe', 'notification'));

   -- What a delivery of that kind tells, of which integration, and whom.
   CREATE TABLE dispatcher.notifications (
     delivery_id    uuid PRIMARY KEY REFERENCES dispatcher.deliveries ON DELETE CASCADE,
     integration_id uuid NOT NULL REFERENCES dispatcher.integrations,
     list           text NOT NULL CHECK (list IN ('failure', 'success')),
     kind           text NOT NULL CHECK (kind IN ('failed', 'recovered', 'succeeded', 'digest')),
     recipients     text NOT NULL
   );
   CREATE INDEX notifications_integration ON dispatcher.notifications (integration_id, delivery_id);

   -- What is to be told, written in the transaction in which it became true.
   CREATE TABLE dispatcher.notices (
     notice_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     integration_id  uuid NOT NULL REFERENCES dispatcher.integrations,
     list            text NOT NULL CHECK (list IN ('failure', 'success')),
     kind            text NOT NULL CHECK (kind IN ('failed', 'recovered', 'succeeded')),
     delivery_id     uuid NOT NULL REFERENCES dispatcher.deliveries ON DELETE CASCADE,
     lane_key        text NOT NULL,
     channel         text NOT NULL,
     recovers        uuid,                                     -- the delivery whose failure was told
     has_stopped     boolean NOT NULL,                         -- it disabled its integration
     created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
     settled_at      timestamptz,
     notification_id uuid,                                     -- null: the list was empty by then
     CHECK ((kind = 'recovered') = (recovers IS NOT NULL)),
     CHECK (notification_id IS NULL OR settled_at IS NOT NULL)
   );
   CREATE INDEX notices_open ON dispatcher.notices (integration_id, list, notice_id) WHERE settled_at IS NULL;
   CREATE INDEX notices_lane ON dispatcher.notices (lane_key, notice_id) WHERE list = 'failure';
   CREATE INDEX notices_delivery ON dispatcher.notices (delivery_id);

   -- Since when notices of one list are collected; locked by whoever makes its mails.
   CREATE TABLE dispatcher.notice_windows (
     integration_id uuid NOT NULL REFERENCES dispatcher.integrations,
     list           text NOT NULL,
     opened_at      timestamptz,                               -- null: nothing was ever sent
     PRIMARY KEY (integration_id, list)
   ) WITH (fillfactor = 70);`,
);
