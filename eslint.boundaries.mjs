// Who may import whom. Rows are tags of the project.json files; tools/ci/boundaries.mjs proves each of them.
import { readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import nx from '@nx/eslint-plugin';

const root = import.meta.dirname;

/** Only these may import the packages on the left, which everybody else is refused. Deep imports included. */
const PACKAGES = [
  { names: ['kafkajs'], only: ['type:messaging'] },
  // The testing libraries make and drop databases, and may not import persistence.
  { names: ['pg'], only: ['type:persistence', 'type:testing'] },
  { names: ['typeorm', '@nestjs/typeorm'], only: ['type:persistence', 'scope:service', 'scope:store'] },
  { names: ['pdfkit', 'fontkit', 'subset-font', 'bidi-js', 'bwip-js'], only: ['type:pure'] },
  { names: ['piscina'], only: ['scope:store', 'scope:tool'] },
  {
    names: [
      '@flystorage/aws-s3',
      '@flystorage/azure-storage-blob',
      '@flystorage/file-storage',
      '@flystorage/local-fs',
    ],
    only: ['scope:store'],
  },
  { names: ['nodemailer'], only: ['destination:email'] },
  { names: ['ssh2', 'ssh2-sftp-client'], only: ['destination:sftp', 'type:testing'] },
  // The testing libraries only probe the server that stands in for S3.
  // The association store keeps uploaded files with the same clients.
  {
    names: ['@aws-sdk/client-s3', '@smithy/node-http-handler'],
    only: ['destination:s3', 'type:testing', 'scope:store'],
  },
  { names: ['@azure/storage-blob'], only: ['destination:azure-blob', 'type:testing', 'scope:store'] },
];

const NEST = ['@nestjs/*'];

const ROWS = [
  { tag: 'type:contracts', libraries: [], allowed: ['zod', 'zod/*'] },
  { tag: 'type:platform', libraries: ['contracts'] },
  { tag: 'type:messaging', libraries: ['contracts', 'platform'] },
  { tag: 'type:persistence', libraries: ['contracts', 'platform'] },
  { tag: 'type:secrets', libraries: ['contracts', 'platform'], banned: NEST },
  { tag: 'type:access', libraries: ['contracts', 'platform', 'persistence'] },
  { tag: 'type:kit', libraries: ['contracts'], banned: NEST },
  { tag: 'type:pure', libraries: ['contracts'], banned: NEST },
  { tag: 'type:worker', libraries: ['contracts', 'platform', 'messaging', 'secrets', 'kit'] },
  { tag: 'type:testing', libraries: ['contracts', 'platform', 'kit', 'testing'] },
  {
    tag: 'scope:service',
    libraries: ['contracts', 'platform', 'messaging', 'persistence', 'secrets', 'access', 'kit', 'pure'],
  },
  // A service that also draws tickets and keeps files.
  {
    tag: 'scope:store',
    libraries: ['contracts', 'platform', 'messaging', 'persistence', 'secrets', 'access', 'kit', 'pure'],
  },
  // Its packages are decided by the destination's own row below: each vendor belongs to one destination.
  { tag: 'scope:destination', libraries: ['contracts', 'platform', 'kit', 'worker'], vendors: 'below' },
  { tag: 'destination:email', libraries: ['contracts', 'platform', 'kit', 'worker'] },
  { tag: 'destination:sftp', libraries: ['contracts', 'platform', 'kit', 'worker'] },
  { tag: 'destination:azure-blob', libraries: ['contracts', 'platform', 'kit', 'worker'] },
  { tag: 'destination:s3', libraries: ['contracts', 'platform', 'kit', 'worker'] },
  { tag: 'destination:zapier', libraries: ['contracts', 'platform', 'kit', 'worker'] },
  // More than the house style grants it: the suite is a witness, and reads topics and tables for itself.
  { tag: 'scope:e2e', libraries: ['contracts', 'platform', 'messaging', 'persistence', 'testing'] },
  {
    tag: 'scope:tool',
    libraries: [
      'contracts',
      'platform',
      'messaging',
      'persistence',
      'secrets',
      'access',
      'kit',
      'pure',
      'worker',
      'testing',
    ],
  },
];

/** Files that only tests load: they may reach the fakes, and packages that are not shipped. */
export const SPEC_FILES = ['**/*.spec.ts', '**/*-spec.ts', '{apps,libs}/*/test/**/*.ts'];
const UNSHIPPED = ['apps/e2e/**', 'libs/testing/**', 'libs/destination-testing/**', 'tools/**'];

const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const deep = (names) => names.flatMap((name) => (name.endsWith('/*') ? [name] : [name, `${name}/*`]));

function constraint({ tag, libraries, allowed, banned = [], vendors }, { shipped, spec }) {
  const refused = vendors === 'below' ? [] : PACKAGES.filter(({ only }) => !only.includes(tag));
  const types = libraries.map((name) => `type:${name}`);
  return {
    sourceTag: tag,
    onlyDependOnLibsWithTags: spec ? [...new Set([...types, 'type:testing'])] : types,
    bannedExternalImports: deep([
      ...banned,
      ...refused.flatMap(({ names }) => names),
      ...(shipped ? Object.keys(devDependencies) : []),
    ]),
    ...(allowed && !spec && { allowedExternalImports: allowed }),
  };
}

const rule = (use) => ({
  '@nx/enforce-module-boundaries': [
    'error',
    {
      allow: [],
      // A package that the graph does not know is an error as well, so that a missing lockfile cannot hide one.
      banTransitiveDependencies: true,
      // Specs of platform use testing, which uses platform: no circle, as shipped code cannot import testing.
      ignoredCircularDependencies: [
        ['testing', '*'],
        ['destination-testing', '*'],
      ],
      depConstraints: ROWS.map((row) => constraint(row, use)),
    },
  ],
});

// The rule skips itself when it finds no project graph, and exits with 0. `npm run lint` writes one anew each time.
const graph = statSync(join(root, '.nx/workspace-data/project-graph.json'), { throwIfNoEntry: false });
if (!graph || graph.mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs) {
  execFileSync(process.execPath, [join(root, 'tools/ci/graph.mjs')], { cwd: root, stdio: 'ignore' });
}

export default [
  {
    files: ['{apps,libs,tools}/**/*.ts'],
    plugins: { '@nx': nx },
    rules: rule({ shipped: true, spec: false }),
  },
  { files: UNSHIPPED.map((glob) => `${glob}/*.ts`), rules: rule({ shipped: false, spec: false }) },
  { files: SPEC_FILES, rules: rule({ shipped: false, spec: true }) },
  {
    files: ['libs/contracts/**/*.ts'],
    ignores: SPEC_FILES,
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: builtinModules.map((name) => ({ name, message: 'Contracts are read by browsers too.' })),
          patterns: [{ group: ['node:*'], message: 'Contracts are read by browsers too.' }],
        },
      ],
    },
  },
];
