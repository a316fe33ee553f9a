import { migration } from '@heddle/persistence';

export const CreateTests = migration(
  'CreateTests1763700006000',
  `-- Samples that were sent to try an integration. No deliveries: they are in no lane, list or figure.
   CREATE TABLE dispatcher.tests (
     test_id        uuid PRIMARY KEY,                          -- the delivery id of its offer
     offer_id       uuid NOT NULL,
     integration_id uuid NOT NULL REFERENCES dispatcher.integrations,
     created_at     timestamptz NOT NULL DEFAULT now(),
     not_after      timestamptz NOT NULL,
     finished_at    timestamptz,
     report         json,                                      -- what the worker said; null: nothing in time
     CHECK (report IS NULL OR finished_at IS NOT NULL)
   );
   CREATE UNIQUE INDEX tests_running ON dispatcher.tests (integration_id) WHERE finished_at IS NULL;
   CREATE INDEX tests_integration ON dispatcher.tests (integration_id, test_id);
   CREATE INDEX tests_created_at ON dispatcher.tests USING brin (created_at);`,
);
