import { migration } from '@heddle/persistence';

export const RememberNotes = migration(
  'RememberNotes1763700013000',
  `-- What the attempts of a delivery have noted for those after them.
   ALTER TABLE dispatcher.deliveries ADD COLUMN notes jsonb NOT NULL DEFAULT '{}';`,
);
