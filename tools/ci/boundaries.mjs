/**
 * Asks the boundary rules about each project, written out by hand from the table in the house style: everything that is
 * not in its line must be refused, everything that is must pass.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import boundaries from '../../eslint.boundaries.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const NX = '@nx/enforce-module-boundaries';

const LIBRARIES =
  'access contracts destination-kit destination-testing destination-worker messaging persistence pick-ticket platform secrets testing';
const PACKAGES =
  '@aws-sdk/client-s3 @azure/storage-blob @flystorage/file-storage @nestjs/common @nestjs/typeorm @smithy/node-http-handler fast-check kafkajs nodemailer pdfkit pg piscina ssh2 ssh2-sftp-client typeorm zod';

/** Project: the libraries and packages (of those above) that its shipped code may import. */
const SHIPPED = {
  'libs/contracts': 'zod',
  'libs/platform': 'contracts @nestjs/common zod',
  'libs/messaging': 'contracts platform @nestjs/common kafkajs zod',
  'libs/persistence': 'contracts platform @nestjs/common @nestjs/typeorm pg typeorm zod',
  'libs/secrets': 'contracts platform zod',
  'libs/access': 'contracts platform persistence @nestjs/common zod',
  'libs/destination-kit': 'contracts zod',
  'libs/pick-ticket': 'contracts pdfkit zod',
  'libs/destination-worker': 'contracts platform messaging secrets destination-kit @nestjs/common zod',
  'libs/destination-testing':
    'contracts platform destination-kit testing @aws-sdk/client-s3 @azure/storage-blob @nestjs/common @smithy/node-http-handler fast-check pg ssh2 ssh2-sftp-client zod',
  'libs/testing':
    'contracts platform destination-kit destination-testing @aws-sdk/client-s3 @azure/storage-blob @nestjs/common @smithy/node-http-handler fast-check pg ssh2 ssh2-sftp-client zod',
  'apps/ingest-gateway':
    'contracts platform messaging persistence secrets access destination-kit pick-ticket @nestjs/common @nestjs/typeorm typeorm zod',
  'apps/association-store':
    'contracts platform messaging persistence secrets access destination-kit pick-ticket @aws-sdk/client-s3 @azure/storage-blob @flystorage/file-storage @nestjs/common @nestjs/typeorm @smithy/node-http-handler piscina typeorm zod',
  'apps/dispatcher':
    'contracts platform messaging persistence secrets access destination-kit pick-ticket @nestjs/common @nestjs/typeorm typeorm zod',
  'apps/outbound-email':
    'contracts platform destination-kit destination-worker @nestjs/common nodemailer zod',
  'apps/outbound-azure-blob':
    'contracts platform destination-kit destination-worker @azure/storage-blob @nestjs/common zod',
  'apps/outbound-sftp':
    'contracts platform destination-kit destination-worker @nestjs/common ssh2 ssh2-sftp-client zod',
  'apps/outbound-zapier': 'contracts platform destination-kit destination-worker @nestjs/common zod',
  'apps/outbound-s3':
    'contracts platform destination-kit destination-worker @aws-sdk/client-s3 @nestjs/common @smithy/node-http-handler zod',
  'apps/e2e':
    'contracts platform messaging persistence testing destination-testing @nestjs/common fast-check zod',
  tools: `${LIBRARIES} @nestjs/common fast-check piscina zod`,
};

const words = (text) => text.split(' ');
const specifier = (name) => (words(LIBRARIES).includes(name) ? `@heddle/${name}` : name);
const faults = [];

// A file that does not exist is in no TypeScript program: the rules alone, without types.
const eslint = new ESLint({
  cwd: root,
  overrideConfigFile: true,
  overrideConfig: [
    { files: ['**/*.ts'], languageOptions: { parser: tseslint.parser } },
    ...boundaries,
    // A forbidden import often closes a circle as well; the row itself is on trial here.
    ...boundaries
      .filter(({ rules }) => rules[NX])
      .map(({ files, rules: { [NX]: rule } }) => ({
        files,
        rules: { [NX]: [rule[0], { ...rule[1], ignoredCircularDependencies: [['*', '*']] }] },
      })),
  ],
});

async function refusedImports(file, imports) {
  const text = imports.map((name, index) => `import * as i${index} from '${name}';\n`).join('');
  const [{ messages }] = await eslint.lintText(text, { filePath: join(root, file) });
  for (const { fatal, message } of messages) if (fatal) faults.push(`${file}: ${message}`);
  return new Set(messages.map(({ line }) => imports[line - 1]));
}

async function check(file, candidates, allowed) {
  const refused = await refusedImports(file, candidates.map(specifier));
  for (const name of candidates) {
    const isRefused = refused.has(specifier(name));
    if (allowed.includes(name) && isRefused)
      faults.push(`${file} is refused ${specifier(name)}, which it may import`);
    if (!allowed.includes(name) && !isRefused)
      faults.push(`${file} may import ${specifier(name)}, which must be refused`);
  }
}

const graph = JSON.parse(readFileSync(join(root, '.nx/workspace-data/project-graph.json'), 'utf8'));
const projects = Object.values(graph.nodes).map(({ data }) => data.root);
for (const project of projects) {
  if (project !== '.' && !SHIPPED[project]) faults.push(`${project} has no line in tools/ci/boundaries.mjs`);
}
for (const { name, data } of Object.values(graph.nodes)) {
  const kinds = (data.tags ?? []).filter((tag) => tag.startsWith('destination:'));
  if (data.tags?.includes('scope:destination') && kinds.length !== 1) {
    faults.push(`${name} must carry one tag destination:<kind>, which decides its packages`);
  }
}

let asked = 0;
for (const [project, line] of Object.entries(SHIPPED)) {
  if (!projects.includes(project))
    faults.push(`${project} is in tools/ci/boundaries.mjs and not in the project graph`);
  const own = project.split('/')[1];
  const candidates = words(`${LIBRARIES} ${PACKAGES}`).filter((name) => name !== own);
  const folder = project === 'tools' ? 'tools/boundaries' : `${project}/src`;
  await check(`${folder}/boundaries-fixture.ts`, candidates, words(line));
  asked += candidates.length;
  if (project === 'tools') continue;
  // Specs reach the testing libraries, and what is not shipped. Contracts are tested with more than zod.
  const more = ['testing', 'destination-testing', 'fast-check'];
  if (project === 'libs/contracts') more.push('@nestjs/common');
  await check(`${folder}/boundaries-fixture.spec.ts`, candidates, [...words(line), ...more]);
  await check(`${project}/test/boundaries-fixture.int-spec.ts`, candidates, [...words(line), ...more]);
  asked += 2 * candidates.length;
}

const across = [
  ['apps/dispatcher/src/boundaries-fixture.ts', '../../association-store/src/app.module.js'],
  ['apps/dispatcher/src/boundaries-fixture.ts', '../../../libs/contracts/src/index.js'],
  ['libs/contracts/src/lib/boundaries-fixture.ts', 'node:crypto'],
  ['libs/contracts/src/lib/boundaries-fixture.ts', 'fs'],
  ['libs/platform/src/boundaries-fixture.ts', 'a-package-that-nobody-declared'],
  ['apps/dispatcher/src/boundaries-fixture.ts', 'kafkajs/src/index.js'],
];
for (const [file, name] of across) {
  if (!(await refusedImports(file, [name])).has(name))
    faults.push(`${file} may import ${name}, which must be refused`);
  asked += 1;
}

if (faults.length > 0) {
  console.error(faults.map((fault) => `boundaries: ${fault}`).join('\n'));
  process.exitCode = 1;
} else {
  console.log(`boundaries: ${asked} imports answered as the table says`);
}
