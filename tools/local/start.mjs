/**
 * `npm start`: brings a fresh clone to a running Heddle. Plain JavaScript for Node 20 and newer, as it runs before
 * anything is installed: dependencies and Kafka's libraries side by side, the build, then the real thing with the
 * Node that the lockfile names.
 */
import { spawn } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import {
  DependencyError,
  childEnvironment,
  ensureDependencies,
  nodeBinary,
} from '../bootstrap/ensure-dependencies.mjs';
import { onEnd } from '../bootstrap/ending.mjs';
import { fetchKafka } from '../kafka/fetch.mjs';
import { fetchS3Proxy } from '../s3proxy/fetch.mjs';
import { FetchError } from '../maven/libraries.mjs';

const ROOT = resolve(fileURLToPath(new URL('.', import.meta.url)), '../..');
/** Dependencies, Kafka, the cluster's first data and room to work. */
const NEEDED_BYTES = 1_500 * 1024 * 1024;
/** The room to work alone. */
const NEEDED_WARM_BYTES = 200 * 1024 * 1024;

const startedAt = Date.now();
const say = (line) =>
  console.error(`[${((Date.now() - startedAt) / 1_000).toFixed(1).padStart(5)} s] ${line}`);

/** Ends what is still fetched. */
const unneeded = new AbortController();

class StartError extends Error {}

function checkDisk() {
  const isInstalled = existsSync(resolve(ROOT, 'node_modules')) && existsSync(resolve(ROOT, '.heddle/kafka'));
  const needed = isInstalled ? NEEDED_WARM_BYTES : NEEDED_BYTES;
  const { bavail, bsize } = statfsSync(ROOT);
  if (bavail * bsize >= needed) return;
  const [free, least] = [bavail * bsize, needed].map((bytes) => Math.round(bytes / 1024 / 1024));
  throw new StartError(
    `The disk is nearly full (${free} MB free): free at least ${least} MB and start again.`,
  );
}

async function prepare() {
  checkDisk();
  // The cheap check first: a missing Java or Maven is said before minutes of installing.
  const kafka = process.env.KAFKA_BROKERS ? Promise.resolve() : fetchKafka({ root: ROOT, onProgress: say });
  kafka.catch(() => undefined);
  await Promise.race([kafka, new Promise((done) => setTimeout(done, 200))]);
  // Beside the long installing, and on while Heddle starts: only this sandbox waits for it, and says if it did not come.
  kafka
    .then(() => fetchS3Proxy({ root: ROOT, onProgress: say, signal: unneeded.signal }))
    .catch(() => undefined);
  await Promise.all([kafka, ensureDependencies({ root: ROOT, onProgress: say })]);
  const { BuildError, build } = await import('../build/build.mjs');
  await build({ quiet: true }).catch((error) => {
    throw error instanceof BuildError ? new StartError(error.message) : error;
  });
}

function run() {
  // A process group of its own: Ctrl-C reaches this process alone, which passes it on once.
  const child = spawn(nodeBinary(ROOT), ['--enable-source-maps', resolve(ROOT, 'dist/tools/local/main.js')], {
    cwd: ROOT,
    env: { ...childEnvironment(ROOT), HEDDLE_STARTED_AT: String(startedAt) },
    stdio: 'inherit',
    detached: true,
  });
  onEnd((signal) => child.kill(signal));
  child.on('error', (error) => {
    console.error(`Starting did not work: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    unneeded.abort();
    process.exit(code ?? (signal === null ? 1 : 128));
  });
}

try {
  await prepare();
  run();
} catch (error) {
  const known =
    error instanceof StartError || error instanceof DependencyError || error instanceof FetchError;
  const full =
    error?.code === 'ENOSPC' ? 'The disk is full: free at least 1500 MB and start again.' : undefined;
  unneeded.abort();
  console.error(`\n${full ?? (known ? error.message : (error?.stack ?? error))}`);
  process.exit(1);
}
