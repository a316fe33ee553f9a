import { parseArgs } from 'node:util';

import { hubHosts } from '@heddle/destination-kit';
import { connectDataSource, databaseConfig } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { Settings } from './config.js';
import { rebuildManifests } from './recipes/rebuild-manifests.js';
import { storeDataSource } from './schema/data-source.js';

/** `admin rebuild-manifests`: after an upgrade that reads documents otherwise, or where the hub is reached under other names. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: {
    'dry-run': { type: 'boolean', default: false },
    tenant: { type: 'string' },
    after: { type: 'string' },
  },
});
const { tenant, after } = values;
if (positionals.join(' ') !== 'rebuild-manifests' || (tenant === undefined) !== (after === undefined)) {
  console.error(`usage: admin rebuild-manifests [--dry-run] [--tenant <tenant> --after <recipe id>]
Prints how far it is, and one JSON object at its end. Needs DATABASE_URL, PUBLIC_URL and PUBLIC_HOSTS of the service.`);
  process.exit(2);
}
const logger = createLogger({ service: 'association-store', level: 'error' });
const { PUBLIC_URL, PUBLIC_HOSTS } = Settings.shape;
const config = loadConfig(z.object({ ...databaseConfig, PUBLIC_URL, PUBLIC_HOSTS }), process.env);
const dataSource = storeDataSource(config, logger);
await connectDataSource(dataSource, { logger });
const rebuilt = await rebuildManifests(
  dataSource,
  { url: config.PUBLIC_URL, hosts: hubHosts(config) },
  {
    isDry: values['dry-run'] === true,
    after: typeof tenant === 'string' && typeof after === 'string' ? { tenant, recipeId: after } : undefined,
    onStep: (last, { recipes, renewed }) => {
      console.error(
        `--tenant ${last.tenant} --after ${last.recipeId}: ${String(recipes)} read, ${String(renewed)} other`,
      );
    },
  },
);
await dataSource.destroy();
console.log(JSON.stringify(rebuilt));
