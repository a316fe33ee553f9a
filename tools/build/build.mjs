/**
 * Bundles the entry files of apps and tools: `apps/<app>/src/<entry>.ts` to `dist/apps/<app>/<entry>.js`, and
 * `tools/<tool>/main.ts` to `dist/tools/<tool>/main.js`, each with its bundle beside it. Libraries of this repository are
 * bundled, npm packages are not.
 * What has not changed since the last build is left alone.
 *
 *   node tools/build/build.mjs [--quiet] [--force] [<project> ...]
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '../..');
const STAMP = 'dist/.build.json';
const STARTED = ['main', 'migrate', 'admin', 'bench'];
/** Loaded by threads of what was started, for what they export. */
const LOADED = ['ticket-thread'];
/** Changes to these change every output. */
const SETTINGS = ['tools/build/build.mjs', 'tsconfig.base.json', 'package-lock.json'];

export class BuildError extends Error {}

const exists = (path) =>
  stat(join(root, path)).then(
    () => true,
    () => false,
  );

const folders = async (path) =>
  (await readdir(join(root, path), { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();

/** What is built: for each app or tool its entry files and its assets. */
export async function targets() {
  const apps = await Promise.all(
    (await folders('apps')).map(async (name) => {
      const src = `apps/${name}/src`;
      const entries = [];
      for (const entry of [...STARTED, ...LOADED]) {
        if (await exists(`${src}/${entry}.ts`))
          entries.push({ in: `${src}/${entry}.ts`, out: `apps/${name}/${entry}` });
      }
      const assets = (await exists(`${src}/assets`))
        ? { from: `${src}/assets`, to: `dist/apps/${name}/assets` }
        : undefined;
      return { name: `apps/${name}`, entries, assets };
    }),
  );
  const tools = await Promise.all(
    (await folders('tools')).map(async (name) => {
      const entry = `tools/${name}/main.ts`;
      return {
        name: `tools/${name}`,
        entries: (await exists(entry)) ? [{ in: entry, out: `tools/${name}/main` }] : [],
      };
    }),
  );
  return [...apps, ...tools].filter(({ entries }) => entries.length > 0);
}

/** Size and time of each input, as one text: equal texts mean that nothing was touched. */
async function fingerprint(paths) {
  const facts = await Promise.all(
    [...paths].sort().map(async (path) => {
      const found = await stat(join(root, path)).catch(() => undefined);
      return found ? `${path} ${found.size} ${found.mtimeMs}` : `${path} missing`;
    }),
  );
  return createHash('sha256').update(facts.join('\n')).digest('base64url');
}

async function settingsHash() {
  const hash = createHash('sha256').update(process.version);
  for (const path of SETTINGS) hash.update(await readFile(join(root, path)));
  return hash.digest('base64url');
}

async function listFiles(path) {
  const entries = await readdir(join(root, path), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** esbuild knows no decorator metadata, which Nest's injection needs: swc compiles the files that have decorators. */
function decorators() {
  const compiled = new Map();
  return {
    name: 'decorators',
    setup({ onLoad }) {
      onLoad({ filter: /\/(apps|libs|tools)\/.*\.ts$/ }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        if (!/(^|[\s(,])@[A-Za-z_$]/.test(source)) return { contents: source, loader: 'ts' };
        const known = compiled.get(path);
        if (known?.source === source) return { contents: known.code, loader: 'js' };
        const { transform } = await import('@swc/core');
        const { code } = await transform(source, {
          filename: path,
          configFile: false,
          swcrc: false,
          sourceMaps: 'inline',
          jsc: {
            target: 'es2024',
            parser: { syntax: 'typescript', decorators: true },
            transform: { legacyDecorator: true, decoratorMetadata: true, verbatimModuleSyntax: true },
            keepClassNames: true,
          },
          module: { type: 'es6' },
        });
        compiled.set(path, { source, code });
        return { contents: code, loader: 'js' };
      });
    },
  };
}

/** Another process may be reading `dist` at this moment: it sees the old file or the new one, never half of one. */
async function replaceFile(path, contents) {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, contents);
  await rename(temporary, path);
}

/**
 * Many machines have Node 20 first on the PATH. Under such a Node an entry passes on to the one that is installed with the
 * project, and ends as that one ends; so the bundle, whose packages need Node 24 as soon as they are loaded, is a file of
 * its own.
 */
const launcherOf = (bundle) => `if (Number(process.versions.node.split('.')[0]) >= 24) {
  await import('./${bundle}');
} else {
  const { spawn } = await import('node:child_process');
  const node = new URL('../../../node_modules/.bin/node', import.meta.url).pathname;
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', () => {
    console.error('This needs Node 24: install it, or run npm ci, which brings it along.');
    process.exit(1);
  });
  child.on('exit', (code) => process.exit(code ?? 1));
}
`;
const BUNDLE = '.node24';
const isStarted = ({ out }) => !LOADED.includes(basename(out));
const bundleOf = (entry) => entry.out + (isStarted(entry) ? BUNDLE : '');

async function buildTarget(esbuild, plugin, target) {
  const startedAt = Date.now();
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints: target.entries.map((entry) => ({ in: entry.in, out: bundleOf(entry) })),
    outdir: 'dist',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    // Packages stay outside: bundling breaks database drivers and tracing hooks. The paths of tsconfig are no packages.
    packages: 'external',
    tsconfig: 'tsconfig.base.json',
    plugins: [plugin],
    // TypeORM reads the names of migrations, Nest those of providers.
    keepNames: true,
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  if (result.warnings.length > 0) throw Object.assign(new Error(), { errors: result.warnings });
  const own = Object.values(result.metafile.outputs).flatMap(({ imports }) => imports);
  const missed = own.find(({ external, path }) => external && path.startsWith('@heddle/'));
  if (missed)
    throw new BuildError(`building ${target.name}: ${missed.path} is not in the paths of tsconfig.base.json`);
  for (const file of result.outputFiles) await replaceFile(file.path, file.contents);
  const inputs = Object.keys(result.metafile.inputs);
  const outputs = result.outputFiles.map(({ path }) => relative(root, path));
  for (const { out } of target.entries.filter(isStarted)) {
    await replaceFile(join(root, 'dist', `${out}.js`), launcherOf(`${basename(out)}${BUNDLE}.js`));
    outputs.push(`dist/${out}.js`);
  }
  if (target.assets) {
    inputs.push(...(await listFiles(target.assets.from)));
    await rm(join(root, target.assets.to), { recursive: true, force: true });
    await cp(join(root, target.assets.from), join(root, target.assets.to), { recursive: true });
    outputs.push(target.assets.to);
  }
  // A file that was saved meanwhile may have been read before: without a fingerprint the next build looks again.
  const times = await Promise.all(
    inputs.map((path) =>
      stat(join(root, path)).then(
        ({ mtimeMs }) => mtimeMs,
        () => Infinity,
      ),
    ),
  );
  const settled = times.every((time) => time < startedAt);
  return { inputs, outputs, fingerprint: settled ? await fingerprint(inputs) : null };
}

async function upToDate(target, last) {
  if (!last || last.entries !== JSON.stringify(target)) return false;
  if ((await fingerprint(last.inputs)) !== last.fingerprint) return false;
  if (target.assets && (await listFiles(target.assets.from)).some((path) => !last.inputs.includes(path)))
    return false;
  return (await Promise.all(last.outputs.map(exists))).every(Boolean);
}

/**
 * Builds what changed. Without `only` also removes the outputs of what is gone. Throws a `BuildError` that lists the
 * faults of all targets; what could be built has been built.
 */
export async function build({ force = false, only = [] } = {}) {
  const stamp = await readFile(join(root, STAMP), 'utf8').then(JSON.parse, () => ({}));
  const settings = await settingsHash();
  const last = new Map(Object.entries(stamp.targets ?? {}));
  const known = stamp.settings === settings && !force ? last : new Map();
  const all = await targets();
  const wanted = all.filter(
    ({ name }) => only.length === 0 || only.some((part) => name.endsWith(`/${part}`) || name === part),
  );
  if (only.length > 0 && wanted.length === 0)
    throw new BuildError(`nothing to build is called ${only.join(', ')}`);

  const fresh = await Promise.all(wanted.map((target) => upToDate(target, known.get(target.name))));
  const stale = wanted.filter((_, index) => !fresh[index]);
  const next = new Map(known);
  const faults = [];
  if (stale.length > 0) {
    const esbuild = await import('esbuild');
    const plugin = decorators();
    await Promise.all(
      stale.map(async (target) => {
        next.delete(target.name);
        try {
          const outcome = await buildTarget(esbuild, plugin, target);
          next.set(target.name, { entries: JSON.stringify(target), ...outcome });
        } catch (error) {
          if (!error.errors) faults.push(error instanceof BuildError ? error.message : String(error.stack));
          else
            faults.push(
              ...(await esbuild.formatMessages(error.errors, { kind: 'error', color: process.stdout.isTTY })),
            );
        }
      }),
    );
    await esbuild.stop();
  }
  if (only.length === 0) {
    const kept = new Set(all.map(({ name }) => name));
    for (const name of last.keys()) {
      if (kept.has(name)) continue;
      next.delete(name);
      await rm(join(root, 'dist', name), { recursive: true, force: true });
    }
  }
  await replaceFile(join(root, STAMP), JSON.stringify({ settings, targets: Object.fromEntries(next) }));
  if (faults.length > 0) throw new BuildError([...new Set(faults)].join('\n'));
  return { built: stale.map(({ name }) => name), unchanged: wanted.length - stale.length };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const options = process.argv.slice(2);
  const quiet = options.includes('--quiet');
  const startedAt = performance.now();
  try {
    const { built, unchanged } = await build({
      force: options.includes('--force'),
      only: options.filter((option) => !option.startsWith('--')),
    });
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    if (!quiet)
      console.log(
        `built ${built.length === 0 ? 'nothing' : built.join(', ')}; ${unchanged} unchanged; ${seconds} s`,
      );
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
