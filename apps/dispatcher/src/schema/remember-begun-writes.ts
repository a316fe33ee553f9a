import { migration } from '@heddle/persistence';

export const RememberBegunWrites = migration(
  'RememberBegunWrites1763700004000',
  `-- Hashes of what attempts had begun to write under a name that must not be taken.
   ALTER TABLE dispatcher.delivery_files ADD COLUMN begun text[] NOT NULL DEFAULT '{}';`,
);
