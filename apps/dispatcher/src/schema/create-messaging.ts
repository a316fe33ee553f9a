import { AUDIT_DDL, IDEMPOTENCY_DDL, OUTBOX_DDL, migration } from '@heddle/persistence';

import { SCHEMA } from './schema.js';

export const CreateMessaging = migration(
  'CreateMessaging1763700000000',
  `${OUTBOX_DDL(SCHEMA)}
   ${AUDIT_DDL(SCHEMA)}
   ${IDEMPOTENCY_DDL(SCHEMA)}

   -- Kept longer than any topic, so that a repetition is recognised for as long as it can come.
   CREATE TABLE dispatcher.handled_events (
     event_id   uuid PRIMARY KEY,
     handled_at timestamptz NOT NULL DEFAULT now()
   );
   CREATE INDEX handled_events_handled_at ON dispatcher.handled_events USING brin (handled_at);`,
);
