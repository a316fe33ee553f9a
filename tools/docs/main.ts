import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { stringify } from 'yaml';

import { openApiDocument } from '@heddle/contracts';

import { asyncApiDocument, eventSchemas } from './asyncapi.js';
import { settingsPage } from './settings.js';

/**
 * Writes `docs/generated` from the contracts; with `--check` writes nothing, names what is not current and ends with 1.
 */
const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, 'docs', 'generated');
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };

const text = (document: object): string => `${JSON.stringify(document, null, 2)}\n`;
const wanted = new Map<string, string>([
  ['openapi.json', text(openApiDocument({ publicUrl: 'https://hub.example', version }))],
  ['asyncapi.yaml', stringify(asyncApiDocument(version), { aliasDuplicateObjects: false, lineWidth: 0 })],
  ['settings.md', `${await settingsPage(root)}\n`],
  ...[...eventSchemas()].map(([type, schema]): [string, string] => [`schemas/${type}.json`, text(schema)]),
]);

const present = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
const surplus = present
  .filter((entry) => entry.isFile())
  .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  .filter((name) => !wanted.has(name));
const stale: string[] = [...surplus];
for (const [name, content] of wanted) {
  const path = join(folder, name);
  if ((await readFile(path, 'utf8').catch(() => undefined)) === content) continue;
  stale.push(name);
  if (values.check) continue;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
if (!values.check) for (const name of surplus) await rm(join(folder, name));
for (const name of stale.sort()) {
  console.log(values.check ? `docs/generated/${name} is not current` : `docs/generated/${name}`);
}
if (values.check && stale.length > 0) process.exitCode = 1;
