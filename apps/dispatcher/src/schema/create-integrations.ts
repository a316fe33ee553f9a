import { migration } from '@heddle/persistence';

export const CreateIntegrations = migration(
  'CreateIntegrations1763700001000',
  `CREATE TABLE dispatcher.integrations (
     integration_id   uuid PRIMARY KEY,
     tenant           text NOT NULL,
     destination      text NOT NULL,
     status           text NOT NULL CHECK (status IN ('pending-review', 'enabled', 'paused', 'rejected', 'disabled')),
     version          integer NOT NULL CHECK (version >= 1),   -- the newest
     approved_version integer CHECK (approved_version BETWEEN 1 AND version),
     active_from      timestamptz,
     revision         integer NOT NULL DEFAULT 1,              -- grows with every change: the ETag
     created_at       timestamptz NOT NULL DEFAULT now(),
     updated_at       timestamptz NOT NULL DEFAULT now(),
     deleted_at       timestamptz,
     -- nothing delivers without an approval
     CHECK (status NOT IN ('enabled', 'paused') OR (approved_version IS NOT NULL AND active_from IS NOT NULL))
   );
   CREATE INDEX integrations_tenant ON dispatcher.integrations (tenant, integration_id DESC);

   CREATE TABLE dispatcher.integration_versions (
     integration_id    uuid NOT NULL REFERENCES dispatcher.integrations,
     version           integer NOT NULL CHECK (version >= 1),
     status            text NOT NULL CHECK (status IN ('pending-review', 'approved', 'rejected', 'superseded')),
     actor             text NOT NULL,
     created_at        timestamptz NOT NULL DEFAULT now(),
     decided_by        text,
     decided_at        timestamptz,
     description       text NOT NULL,
     triggers          text[] NOT NULL,
     channels          text[] NOT NULL,
     success_list      text NOT NULL,
     failure_list      text NOT NULL,
     settings          jsonb NOT NULL,                         -- every secret as its envelope
     limits            jsonb NOT NULL,
     include           jsonb NOT NULL,
     temporary_recipes boolean NOT NULL,
     PRIMARY KEY (integration_id, version),
     CHECK ((decided_by IS NULL) = (decided_at IS NULL))
   );
   CREATE UNIQUE INDEX integration_versions_approved ON dispatcher.integration_versions (integration_id)
     WHERE status = 'approved';

   -- What is under way for an integration: window, breaker, rate. Shared by all dispatchers, locked while one offers.
   CREATE TABLE dispatcher.integration_flow (
     integration_id uuid PRIMARY KEY REFERENCES dispatcher.integrations,
     window_size    integer NOT NULL CHECK (window_size >= 1),
     hold_until     timestamptz,
     failures       integer NOT NULL DEFAULT 0,
     probe_at       timestamptz,
     probe_wait_ms  integer,
     tokens         double precision NOT NULL,
     tokens_at      timestamptz NOT NULL,
     CHECK ((probe_at IS NULL) = (probe_wait_ms IS NULL))
   ) WITH (fillfactor = 50);`,
);
