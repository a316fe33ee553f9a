import { migration } from '@heddle/persistence';

export const CreateDeliveries = migration(
  'CreateDeliveries1763700002000',
  `-- The newest version of each order, and of each recipe for the feed. Content is always the head's.
   CREATE TABLE dispatcher.heads (
     tenant        text NOT NULL,
     kind          text NOT NULL CHECK (kind IN ('order', 'recipe')),
     subject       text NOT NULL,                              -- order uid or recipe id
     version       integer NOT NULL CHECK (version >= 1),
     status        text NOT NULL CHECK (status IN ('open', 'cancelled')),
     order_number  text,
     order_id      text,
     recipe_ids    text[] NOT NULL,
     waiting_since timestamptz,                                -- an item's recipe is missing since
     document      text NOT NULL,
     updated_at    timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (tenant, kind, subject),
     CHECK ((kind = 'order') = (order_number IS NOT NULL))
   );
   CREATE INDEX heads_updated_at ON dispatcher.heads USING brin (updated_at);

   CREATE TABLE dispatcher.deliveries (
     delivery_id         uuid PRIMARY KEY,
     tenant              text NOT NULL,
     integration_id      uuid NOT NULL REFERENCES dispatcher.integrations,
     integration_version integer NOT NULL,
     destination         text NOT NULL,
     trigger             text NOT NULL,
     event_id            uuid NOT NULL,
     kind                text NOT NULL CHECK (kind IN ('order', 'recipe')),
     subject             text NOT NULL,
     lane_key            text NOT NULL,
     channel             text NOT NULL,
     order_number        text,
     order_id            text,
     recipe_ids          text[] NOT NULL,
     version             integer NOT NULL CHECK (version >= 1),
     state               text NOT NULL CHECK (state IN ('waiting', 'ready', 'in-flight', 'retrying',
                                                        'succeeded', 'failed', 'superseded', 'cancelled')),
     reason              text,
     stop_reason         text,                                 -- set in flight: no further attempt
     wait_until          timestamptz,                          -- for the recipes of its head
     next_attempt_at     timestamptz,
     attempts            integer NOT NULL DEFAULT 0,
     silences            integer NOT NULL DEFAULT 0,
     offer_id            uuid,
     code                text,
     message             text,
     frozen_at           timestamptz,                          -- its file set is fixed since
     missing             text[] NOT NULL DEFAULT '{}',         -- recipes that had not come by then
     repeats             uuid,
     accepted_at         timestamptz NOT NULL,
     created_at          timestamptz NOT NULL DEFAULT now(),
     updated_at          timestamptz NOT NULL DEFAULT now(),
     finished_at         timestamptz,
     traceparent         text,
     UNIQUE (event_id, integration_id),                        -- a repeated event makes no second delivery
     CHECK ((state = 'retrying') = (next_attempt_at IS NOT NULL)),
     CHECK ((state = 'in-flight') = (offer_id IS NOT NULL)),
     CHECK ((state IN ('succeeded', 'failed', 'superseded', 'cancelled')) = (finished_at IS NOT NULL)),
     CHECK (CASE state
              WHEN 'waiting' THEN reason IN ('lane', 'recipe')
              WHEN 'superseded' THEN reason = 'newer-version'
              WHEN 'cancelled' THEN reason IN ('order-cancelled', 'integration-disabled', 'integration-deleted')
              ELSE reason IS NULL END),
     CHECK (stop_reason IS NULL OR
            stop_reason IN ('newer-version', 'order-cancelled', 'integration-disabled', 'integration-deleted')),
     CHECK (reason IS DISTINCT FROM 'recipe' OR wait_until IS NOT NULL),
     CHECK ((kind = 'order') = (order_number IS NOT NULL))
   ) WITH (fillfactor = 80);
   CREATE UNIQUE INDEX deliveries_lane_head ON dispatcher.deliveries (lane_key)
     WHERE state IN ('ready', 'in-flight', 'retrying');        -- one head per lane
   CREATE INDEX deliveries_open ON dispatcher.deliveries (integration_id, state, delivery_id)
     WHERE state IN ('waiting', 'ready', 'in-flight', 'retrying');
   CREATE INDEX deliveries_lane_waiting ON dispatcher.deliveries (lane_key, delivery_id) WHERE state = 'waiting';
   CREATE INDEX deliveries_next_attempt ON dispatcher.deliveries (next_attempt_at) WHERE state = 'retrying';
   CREATE INDEX deliveries_wait_until ON dispatcher.deliveries (wait_until)
     WHERE state = 'waiting' AND reason = 'recipe';
   CREATE INDEX deliveries_subject ON dispatcher.deliveries (tenant, subject, delivery_id);
   CREATE INDEX deliveries_tenant ON dispatcher.deliveries (tenant, delivery_id);
   CREATE INDEX deliveries_failed ON dispatcher.deliveries (tenant, delivery_id) WHERE state = 'failed';
   CREATE INDEX deliveries_integration ON dispatcher.deliveries (integration_id, delivery_id);
   CREATE INDEX deliveries_order_number ON dispatcher.deliveries (tenant, order_number, delivery_id);
   CREATE INDEX deliveries_order_id ON dispatcher.deliveries (tenant, order_id, delivery_id)
     WHERE order_id IS NOT NULL;
   CREATE INDEX deliveries_recipe_ids ON dispatcher.deliveries USING gin (recipe_ids);

   CREATE TABLE dispatcher.delivery_files (
     delivery_id uuid NOT NULL REFERENCES dispatcher.deliveries ON DELETE CASCADE,
     position    integer NOT NULL,
     name        text NOT NULL,
     kind        text NOT NULL,
     mime_type   text NOT NULL,
     source      json NOT NULL,
     receipt     json,
     PRIMARY KEY (delivery_id, name)
   ) WITH (fillfactor = 90);

   CREATE TABLE dispatcher.offers (
     offer_id       uuid PRIMARY KEY,
     delivery_id    uuid NOT NULL REFERENCES dispatcher.deliveries ON DELETE CASCADE,
     integration_id uuid NOT NULL,
     attempt        integer NOT NULL CHECK (attempt >= 1),
     worker_id      uuid,
     offered_at     timestamptz NOT NULL DEFAULT now(),
     not_after      timestamptz NOT NULL,
     started_at     timestamptz,
     heard_at       timestamptz,                               -- of the last report, by our clock
     finished_at    timestamptz,
     outcome        text CHECK (outcome IN ('succeeded', 'failed', 'released', 'expired', 'silent')),
     code           text,
     message        text,
     size_bytes     bigint,
     duration_ms    double precision,
     CHECK ((outcome IS NULL) = (finished_at IS NULL))
   ) WITH (fillfactor = 70);
   CREATE UNIQUE INDEX offers_running ON dispatcher.offers (delivery_id) WHERE outcome IS NULL;
   CREATE INDEX offers_open ON dispatcher.offers (integration_id) WHERE outcome IS NULL;
   CREATE INDEX offers_delivery ON dispatcher.offers (delivery_id);`,
);
