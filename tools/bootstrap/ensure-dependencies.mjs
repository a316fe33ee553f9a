/**
 * Brings node_modules in line with package-lock.json. Plain JavaScript for Node 20 and newer, without dependencies: it
 * runs before anything is installed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRESS_MS = 10_000;
const NODE_MAJOR = 24;

/** Something the person at the keyboard can mend: the message is a sentence with the way out. */
export class DependencyError extends Error {
  name = 'DependencyError';
}

/** Node 24: everything after the installation runs with it. */
export const nodeBinary = (root = ROOT) => join(root, 'node_modules', '.bin', 'node');

/** The environment for children: our Node first on the PATH. */
export function childEnvironment(root = ROOT, env = process.env) {
  const bin = join(root, 'node_modules', '.bin');
  const rest = (env.PATH ?? '').split(delimiter).filter((part) => part !== bin);
  return { ...env, PATH: [bin, ...rest].join(delimiter) };
}

const readJson = (path) => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
};

/**
 * Compares package-lock.json with what npm wrote about the folder that it installed.
 * @returns {string | undefined} what is out of line
 */
export function outOfLine(root = ROOT) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  if (wanted === undefined)
    throw new DependencyError('package-lock.json cannot be read: restore it from git.');
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return 'node_modules is not there';
  for (const [path, { version, link, optional, devOptional, os, cpu, libc }] of Object.entries(wanted)) {
    if (path === '' || link) continue;
    const found = installed[path];
    if (found === undefined) {
      // Packages of other platforms stay away.
      if (optional || devOptional || os || cpu || libc) continue;
      return `${path} is missing`;
    }
    if (found.version !== version) return `${path} is ${found.version}, not ${version}`;
  }
  // The folder may come from another machine.
  return runs(nodeBinary(root)) ? undefined : 'its Node does not run here';
}

const runs = (node) => spawnSync(node, ['--version'], { stdio: 'ignore' }).status === 0;

/** npm brings Node for Linux on x64 and arm64 with glibc. Elsewhere the Node that runs this serves, if it is new enough. */
function ensureNode(root) {
  const node = nodeBinary(root);
  if (runs(node)) return;
  const [major] = process.versions.node.split('.').map(Number);
  if (major < NODE_MAJOR) {
    throw new DependencyError(
      `Heddle runs on Node ${NODE_MAJOR}, which npm does not bring for ${process.platform} on ${process.arch}: ` +
        `install Node ${NODE_MAJOR} and start again.`,
    );
  }
  rmSync(node, { force: true });
  symlinkSync(process.execPath, node);
}

function explain(output) {
  const reasons = [
    [/ENOSPC|no space left/i, 'the disk is full: free at least 2 GB and start again.'],
    [/EACCES|EPERM|EROFS/, 'a folder cannot be written: give this user the right to write below it.'],
    [
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|CERT_|E5\d\d/,
      'the registry of npm packages did not answer: check the network, the proxy and `npm config get registry`.',
    ],
    [/E401|E403/, 'the registry of npm packages refused access: check the credentials in ~/.npmrc.'],
    [
      /E404|ETARGET|notarget/,
      'the registry of npm packages has not all of them: check `npm config get registry`.',
    ],
    [/EUSAGE|in sync/, 'package.json and package-lock.json do not agree: run `npm install` and commit both.'],
  ];
  return reasons.find(([pattern]) => pattern.test(output))?.[1] ?? 'its words are above.';
}

/**
 * @param {{ root?: string, onProgress?: (line: string) => void, signal?: AbortSignal }} [options]
 * @returns {Promise<boolean>} true when something was installed
 */
export async function ensureDependencies({ root = ROOT, onProgress = console.error, signal } = {}) {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new DependencyError(`Node ${process.versions.node} is too old: install Node 20 or newer.`);
  }
  const reason = outOfLine(root);
  if (reason === undefined) return false;

  onProgress(`installing dependencies with npm ci (${reason})`);
  const startedAt = Date.now();
  const timer = setInterval(
    () => onProgress(`still installing dependencies, ${Math.round((Date.now() - startedAt) / 1_000)} s`),
    PROGRESS_MS,
  );
  try {
    await npmCi(root, signal);
  } finally {
    clearInterval(timer);
  }
  ensureNode(root);
  const still = outOfLine(root);
  if (still !== undefined)
    throw new DependencyError(`npm ci ended well, yet ${still}: remove node_modules and start again.`);
  onProgress(`dependencies installed in ${Math.round((Date.now() - startedAt) / 1_000)} s`);
  return true;
}

function npmCi(root, signal) {
  const own = resolve(root, 'node_modules', '.bin');
  // npm removes node_modules first: it must not run with the Node in there.
  const path = (process.env.PATH ?? '').split(delimiter).filter((part) => resolve(part) !== own);
  const env = { ...process.env, PATH: path.join(delimiter) };
  return new Promise((done, fail) => {
    const child = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
      signal,
    });
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(-20_000));
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', (error) => {
      const missing = 'npm was not found on the PATH: install Node 20 or newer together with npm.';
      fail(error.code === 'ENOENT' ? new DependencyError(missing) : error);
    });
    child.on('close', (code) => {
      if (code === 0) return done();
      process.stderr.write(output.trim().split('\n').slice(-20).join('\n') + '\n');
      return fail(
        new DependencyError(`Installing dependencies with npm ci did not work: ${explain(output)}`),
      );
    });
  });
}

const isCommand =
  process.argv[1] !== undefined &&
  existsSync(process.argv[1]) &&
  realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url));
if (isCommand) {
  try {
    await ensureDependencies();
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
