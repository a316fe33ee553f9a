import { migration } from '@heddle/persistence';

export const RememberTargets = migration(
  'RememberTargets1763700012000',
  `-- The version since which data goes where this one sends it. Of those that are there nobody knows: each counts for
   -- itself, so that a delivery under way sends too much at worst.
   ALTER TABLE dispatcher.integration_versions ADD COLUMN target_version integer NOT NULL DEFAULT 1
     CHECK (target_version BETWEEN 1 AND version);
   UPDATE dispatcher.integration_versions SET target_version = version;

   -- What the offer was sealed with.
   ALTER TABLE dispatcher.offers ADD COLUMN integration_version integer;
   UPDATE dispatcher.offers o SET integration_version = d.integration_version
     FROM dispatcher.deliveries d WHERE d.delivery_id = o.delivery_id;
   ALTER TABLE dispatcher.offers ALTER COLUMN integration_version SET NOT NULL;`,
);
