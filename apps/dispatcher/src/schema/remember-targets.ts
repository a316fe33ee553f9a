import { migration } from '@heddle/persistence';

export const RememberTargets = migration(
  'RememberTargets1763700012000',
  `-- The version since which data goes where this one sends it. Null, itself: of versions that are there, or that a
   -- dispatcher writes which does not know of it, nobody knows, so that a delivery under way sends too much at worst.
   ALTER TABLE dispatcher.integration_versions ADD COLUMN target_version integer
     CHECK (target_version BETWEEN 1 AND version);
   -- What its secret settings name of that place, by setting: to compare with, as nobody opens them here.
   ALTER TABLE dispatcher.integration_versions ADD COLUMN places jsonb NOT NULL DEFAULT '{}';

   -- What the offer was sealed with. Null where an older dispatcher has made it. Nothing is filled in: offers are many,
   -- and nobody can offer before this ends.
   ALTER TABLE dispatcher.offers ADD COLUMN integration_version integer;`,
);
