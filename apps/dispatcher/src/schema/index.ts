import type { MigrationClass } from '@heddle/persistence';

import { CreateDeliveries } from './create-deliveries.js';
import { CreateIntegrations } from './create-integrations.js';
import { CreateMessaging } from './create-messaging.js';

/** Oldest first. */
export const dispatcherMigrations: readonly MigrationClass[] = [
  CreateMessaging,
  CreateIntegrations,
  CreateDeliveries,
];
