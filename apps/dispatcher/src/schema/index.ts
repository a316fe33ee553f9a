import type { MigrationClass } from '@heddle/persistence';

import { CreateBulks } from './create-bulks.js';
import { CreateDeliveries } from './create-deliveries.js';
import { CreateIntegrations } from './create-integrations.js';
import { CreateMessaging } from './create-messaging.js';
import { CreateNotices } from './create-notices.js';
import { CreateTests } from './create-tests.js';
import { CreateTriggers } from './create-triggers.js';
import { PositionsPerCluster } from './positions-per-cluster.js';
import { RememberBegunWrites } from './remember-begun-writes.js';
import { RememberNotes } from './remember-notes.js';
import { RememberTargets } from './remember-targets.js';
import { WriteLess } from './write-less.js';

/** Oldest first. */
export const dispatcherMigrations: readonly MigrationClass[] = [
  CreateMessaging,
  CreateIntegrations,
  CreateDeliveries,
  PositionsPerCluster,
  RememberBegunWrites,
  CreateTriggers,
  CreateTests,
  CreateBulks,
  CreateNotices,
  RememberTargets,
  RememberNotes,
  WriteLess,
];
