/**
 * Fetches the Java libraries of one server into `.heddle/<folder>/<version>/libs`, once per checkout.
 * Plain JavaScript without dependencies: it also runs before `npm ci` and on Node 20.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = import.meta.dirname ?? fileURLToPath(new URL('.', import.meta.url));
const MARKER = 'complete.json';
/** Libraries of up to 60 MB, copied from Maven's own store of the same size. */
const NEEDED_BYTES = 150 * 1024 * 1024;
const OLDEST_JAVA = 17;
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;

/** Something the person at the keyboard can mend: the message is one sentence with the way out. */
export class FetchError extends Error {
  name = 'FetchError';
}

/**
 * @typedef {object} Server
 * @property {string} name for messages: `Kafka`
 * @property {string} folder below `.heddle`
 * @property {string} pom path of the pom.xml that lists the libraries
 * @property {string} property of the pom.xml: the server's version
 * @property {(version: string) => string} jar that must be among the libraries
 * @property {number} sizeMb for messages
 */

/**
 * @param {Server} server
 * @param {{ root?: string, onProgress?: (line: string) => void, signal?: AbortSignal }} [options] root: folder of the
 *   checkout; signal: ends the download
 * @returns {Promise<{ version: string, libs: string, java: string }>}
 */
export async function fetchLibraries(
  server,
  { root = resolve(HERE, '../..'), onProgress = () => undefined, signal } = {},
) {
  const pom = readFileSync(server.pom, 'utf8');
  const version = pom.split(`<${server.property}>`)[1]?.split('<')[0];
  if (version === undefined)
    throw new FetchError(`${server.pom} names no ${server.property}: restore it from git`);
  const pomHash = createHash('sha256').update(pom).digest('hex');
  const home = join(root, '.heddle', server.folder);
  const target = join(home, version);
  const result = { version, libs: join(target, 'libs'), java: findJava(server.name) };

  if (isComplete(target, pomHash)) return result;
  try {
    mkdirSync(home, { recursive: true });
    const unlock = await lock(join(home, 'lock'), server, () => isComplete(target, pomHash));
    if (unlock === undefined) return result;
    try {
      if (!isComplete(target, pomHash))
        await download(server, { home, target, pom, pomHash, version, onProgress, signal });
    } finally {
      unlock();
    }
  } catch (error) {
    throw explain(error, server, home);
  }
  return result;
}

/** The `java` to use, at least version 17: JAVA_HOME's if it is set, otherwise the one on PATH. */
function findJava(name) {
  const home = process.env.JAVA_HOME;
  const java = home ? join(home, 'bin', 'java') : 'java';
  const found = spawnSync(java, ['-version'], { encoding: 'utf8' });
  const place = home ? `in JAVA_HOME (${home})` : 'on the PATH';
  const wayOut =
    'install a JDK 17 or newer (Debian: apt-get install openjdk-17-jre-headless) or point JAVA_HOME to one';
  if (found.error !== undefined || found.status !== 0) {
    throw new FetchError(
      `${name} needs Java ${OLDEST_JAVA} and none that works was found ${place}: ${wayOut}.`,
    );
  }
  const text = `${found.stderr}${found.stdout}`;
  const numbers = /version "(?:1\.)?(\d+)/.exec(text);
  if (numbers === null || Number(numbers[1]) < OLDEST_JAVA) {
    const had = numbers === null ? 'one of unknown version' : `version ${numbers[1]}`;
    throw new FetchError(
      `${name} needs Java ${OLDEST_JAVA} or newer and the one ${place} is ${had}: ${wayOut}.`,
    );
  }
  return java;
}

/** True when every library that the download wrote is still there, whole, and belongs to this pom.xml. */
function isComplete(target, pomHash) {
  try {
    const marker = JSON.parse(readFileSync(join(target, MARKER), 'utf8'));
    if (marker.pomHash !== pomHash) return false;
    return marker.files.every(({ name, size }) => statSync(join(target, 'libs', name)).size === size);
  } catch {
    return false;
  }
}

async function download(server, { home, target, pom, pomHash, version, onProgress, signal }) {
  for (const left of readdirSync(home).filter((name) => name.startsWith('.part-'))) {
    if (!isAlive(Number(left.slice('.part-'.length))))
      rmSync(join(home, left), { recursive: true, force: true });
  }
  const free = statfsSync(home);
  if (free.bavail * free.bsize < NEEDED_BYTES)
    throw Object.assign(new Error('disk full'), { code: 'ENOSPC' });

  onProgress(`fetching ${server.name} ${version} from Maven (${server.sizeMb} MB, once)`);
  const part = join(home, `.part-${process.pid}`);
  try {
    mkdirSync(part);
    // A pom.xml of its own folder keeps Maven from writing beside the one in the checkout.
    writeFileSync(join(part, 'pom.xml'), pom);
    await maven(part, server, signal);
    const libs = join(part, 'libs');
    const files = readdirSync(libs).map((name) => ({ name, size: statSync(join(libs, name)).size }));
    if (!files.some(({ name }) => name === server.jar(version))) {
      throw new FetchError(
        `Maven ended well but brought no ${server.name} ${version}: remove ${home} and start again.`,
      );
    }
    writeFileSync(join(part, MARKER), JSON.stringify({ pomHash, files }));
    rmSync(target, { recursive: true, force: true });
    try {
      renameSync(part, target);
    } catch (error) {
      if (!isComplete(target, pomHash)) throw error; // else another process was first
    }
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

function maven(folder, { name }, signal) {
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=libs'];
  return new Promise((done, fail) => {
    const child = spawn('mvn', ['-q', '-B', '-f', 'pom.xml', ...goal], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: DOWNLOAD_TIMEOUT_MS,
      signal,
    });
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(-20_000));
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', (error) =>
      fail(
        error.code === 'ENOENT'
          ? new FetchError(
              `${name} is fetched with Maven and no mvn was found on the PATH: install Maven 3.8 or newer (Debian: apt-get install maven).`,
            )
          : error,
      ),
    );
    child.on('close', (code, signal) => {
      if (code === 0) return done();
      if (/No space left on device/i.test(output)) {
        return fail(Object.assign(new Error('disk full'), { code: 'ENOSPC' }));
      }
      const reason =
        signal === null ? firstError(output) : `it took longer than ${DOWNLOAD_TIMEOUT_MS / 60_000} minutes`;
      return fail(
        new FetchError(
          `The libraries of ${name} could not be fetched with Maven (${reason}): check the network, or set a mirror or proxy in ~/.m2/settings.xml, and start again.`,
        ),
      );
    });
  });
}

function firstError(output) {
  const plain = output.replaceAll(/\u001B\[[0-9;]*m/g, '');
  const line =
    plain.split('\n').find((text) => text.startsWith('[ERROR]')) ?? plain.trim().split('\n').at(-1) ?? '';
  const text = line.replace('[ERROR]', '').trim();
  return text.length > 300 ? `${text.slice(0, 300)} ...` : text || 'it gave no reason';
}

/**
 * One download at a time. The file holds the owner's pid, so that a lock whose owner died is taken over.
 * @returns a function that unlocks, or undefined when another process has finished the work meanwhile
 */
async function lock(path, { name }, isDone) {
  const deadline = Date.now() + DOWNLOAD_TIMEOUT_MS;
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isDone()) return undefined;
    if (isStale(path)) rmSync(path, { force: true });
    else if (Date.now() > deadline) {
      throw new FetchError(
        `Another process has been fetching ${name} for too long: end it, or remove ${path}.`,
      );
    } else await delay(200);
  }
}

function isStale(path) {
  try {
    const owner = Number(readFileSync(path, 'utf8'));
    // Between creating and writing, the file of a living owner is empty for an instant.
    return owner === 0 ? Date.now() - statSync(path).mtimeMs > 5_000 : !isAlive(owner);
  } catch {
    return false;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function explain(error, { name }, home) {
  if (error instanceof FetchError) return error;
  if (error.code === 'ENOSPC') {
    return new FetchError(
      `The disk that holds ${home} (or Maven's ~/.m2) is full: free at least 200 MB and start again.`,
    );
  }
  if (['EACCES', 'EPERM', 'EROFS'].includes(error.code)) {
    return new FetchError(
      `${home} cannot be written (${error.code}): give this user the right to write there.`,
    );
  }
  return new FetchError(
    `The libraries of ${name} could not be put into ${home} (${error.message}): remove that folder and start again.`,
  );
}

/** As a command: prints the result as one JSON line, or one sentence on stderr and exit code 1. */
export async function runAsCommand(url, fetchServer) {
  const [, script] = process.argv;
  if (
    script === undefined ||
    !existsSync(script) ||
    realpathSync(script) !== realpathSync(fileURLToPath(url))
  )
    return;
  try {
    const fetched = await fetchServer({ onProgress: (line) => process.stderr.write(`${line}\n`) });
    process.stdout.write(`${JSON.stringify(fetched)}\n`);
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
