import { parseArgs } from 'node:util';

import { Channel, Permission, Tenant } from '@heddle/contracts';
import { createApiKey, createTenant, setRecipeAccess } from '@heddle/access';
import { connectDataSource, databaseConfig } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createLogger, loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { accessDataSource } from './database.js';

const USAGE = `usage:
  admin create-tenant <tenant>
  admin create-key --tenant <tenant> --name <name> --permissions <permission,...> [--channel <channel>]
  admin set-recipe-access --tenant <tenant> --access open|key
Prints one JSON object. Needs DATABASE_URL.
`;

const ACTOR = 'command-line';

const CreateKey = z.object({
  tenant: Tenant,
  name: z.string().min(1).max(128),
  permissions: z
    .string()
    .transform((list) => list.split(',').map((name) => name.trim()))
    .pipe(z.array(Permission).min(1)),
  channel: Channel.optional(),
});
const SetRecipeAccess = z.object({ tenant: Tenant, access: z.enum(['open', 'key']) });

type Command = (dataSource: DataSource, given: Given) => Promise<object>;
interface Given {
  readonly words: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
}

const commands = new Map<string, Command>([
  [
    'create-tenant',
    async (dataSource, { words }) => {
      const tenant = Tenant.parse(words[0]);
      return { tenant, created: await createTenant(dataSource, tenant) };
    },
  ],
  [
    'create-key',
    async (dataSource, { options }) =>
      createApiKey(dataSource, { ...CreateKey.parse(options), actor: ACTOR }),
  ],
  [
    'set-recipe-access',
    async (dataSource, { options }) => {
      const { tenant, access } = SetRecipeAccess.parse(options);
      return { tenant, access, changed: await setRecipeAccess(dataSource, { tenant, access, actor: ACTOR }) };
    },
  ],
]);

async function run(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      tenant: { type: 'string' },
      name: { type: 'string' },
      permissions: { type: 'string' },
      channel: { type: 'string' },
      access: { type: 'string' },
    },
  });
  const [name = '', ...words] = positionals;
  const command = commands.get(name);
  if (command === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const logger = createLogger({ service: 'ingest-gateway', level: 'error' });
  const dataSource = accessDataSource(loadConfig(z.object(databaseConfig), process.env), logger);
  try {
    await connectDataSource(dataSource, { logger, signal: AbortSignal.timeout(15_000) });
    process.stdout.write(`${JSON.stringify(await command(dataSource, { words, options: values }))}\n`);
    return 0;
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}\n${USAGE}`);
  process.exitCode = 1;
}
