import { migration } from '@heddle/persistence';

export const CreateBulks = migration(
  'CreateBulks1763700010000',
  `-- Triggers of whatever a filter finds, made bit by bit. The deliveries have its id as their trigger_id.
   CREATE TABLE dispatcher.bulks (
     bulk_id      uuid PRIMARY KEY,
     tenant       text NOT NULL,
     channel      text,                                        -- of the key that asked; null: every channel
     filter       jsonb NOT NULL,
     only_missing boolean NOT NULL,
     per_second   integer NOT NULL CHECK (per_second >= 1),
     state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
     count        integer NOT NULL CHECK (count >= 0),
     done         integer NOT NULL DEFAULT 0,
     skipped      integer NOT NULL DEFAULT 0,
     last_id      uuid,                                        -- every delivery up to this one has had its turn
     tokens       double precision NOT NULL DEFAULT 0,
     tokens_at    timestamptz NOT NULL DEFAULT now(),
     created_at   timestamptz NOT NULL DEFAULT now(),
     finished_at  timestamptz,
     CHECK ((state = 'running') = (finished_at IS NULL)),
     CHECK (done + skipped <= count)
   ) WITH (fillfactor = 70);
   CREATE INDEX bulks_running ON dispatcher.bulks (tokens_at) WHERE state = 'running';`,
);
