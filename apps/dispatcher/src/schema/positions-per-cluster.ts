import { POSITIONS_CLUSTER_DDL, migration } from '@heddle/persistence';

import { SCHEMA } from './schema.js';

export const PositionsPerCluster = migration(
  'PositionsPerCluster1763700003000',
  POSITIONS_CLUSTER_DDL(SCHEMA),
);
