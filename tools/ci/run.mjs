/**
 * What `npm test` and `npm run test:faults` share: steps with a name, a duration and a result, and children that never
 * outlive the run. Plain JavaScript for Node 20 and newer: it also runs before anything is installed.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  DependencyError,
  childEnvironment,
  ensureDependencies,
  nodeBinary,
} from '../bootstrap/ensure-dependencies.mjs';
import { onEnd } from '../bootstrap/ending.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MARK = 'HEDDLE_TEST_RUN';
/** After SIGTERM, until SIGKILL. A service has 10 s to shut down, and PostgreSQL and Kafka come after it. */
const END_MS = 15_000;

const TESTS_MS = 40 * 60_000;
/** From Jest's result to its end. */
const TEARDOWN_MS = 60_000;

const runId = randomUUID();
process.env[MARK] = runId;
const groups = new Set();
let ending = false;

const alive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Each process that inherited this run's mark, however far down it was started. Empty where there is no /proc. */
function marked() {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(`${MARK}=${runId}`)) return [];
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${name}/status`, 'latin1'))) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
      return [{ pid: Number(name), command }];
    } catch {
      return [];
    }
  });
}

/** Ends all that this run has started. Returns what had to be ended. */
export async function endAll() {
  const found = marked();
  const send = (signal) => {
    for (const group of groups) tryKill(-group, signal);
    for (const { pid } of marked()) tryKill(pid, signal);
  };
  const left = () => marked().length > 0 || [...groups].some((group) => alive(-group));
  // A stopped process does not see SIGTERM until it continues.
  send('SIGCONT');
  send('SIGTERM');
  for (const deadline = Date.now() + END_MS; left() && Date.now() < deadline;) await delay(50);
  if (left()) send('SIGKILL');
  for (const deadline = Date.now() + 2_000; left() && Date.now() < deadline;) await delay(50);
  groups.clear();
  return found;
}

function tryKill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/**
 * Runs our Node with a script of this repository. `live` shows the output as it comes, otherwise it is returned.
 * @returns {Promise<{ code: number, output: string }>}
 */
export async function runNode(args, { live = false, env = {}, timeoutMs = 20 * 60_000, until } = {}) {
  const child = spawn(existsSync(nodeBinary()) ? nodeBinary() : process.execPath, args, {
    cwd: ROOT,
    env: { ...childEnvironment(), ...env },
    stdio: ['ignore', live ? 'inherit' : 'pipe', live ? 'inherit' : 'pipe'],
    detached: true,
  });
  if (child.pid !== undefined) groups.add(child.pid);
  let output = '';
  const keep = (chunk) => (output += chunk);
  child.stdout?.setEncoding('utf8').on('data', keep);
  child.stderr?.setEncoding('utf8').on('data', keep);
  const ended = new Promise((done) => {
    child.on('error', (error) => done({ code: 1, output: error.message }));
    child.on('exit', (code, signal) => {
      // `close` waits for grandchildren that hold the pipes, for ever if one hangs.
      setTimeout(
        () => done({ code: code ?? 1, output: signal ? `${output}\nended by ${signal}` : output }),
        20,
      );
    });
  });
  const late = new AbortController();
  const timeout = delay(timeoutMs, undefined, { signal: late.signal }).then(
    () => ({ code: 1, output: `${output}\nnot done after ${Math.round(timeoutMs / 1_000)} s` }),
    () => undefined,
  );
  try {
    const result = await Promise.race([ended, timeout, ...(until ? [until(late.signal)] : [])]);
    if (child.exitCode === null && child.signalCode === null) tryKill(-child.pid, 'SIGKILL');
    if (!alive(-child.pid)) groups.delete(child.pid);
    return result;
  } finally {
    late.abort();
  }
}

/** Jest ends by itself unless a test left a timer or a socket open: then it would wait for ever. */
async function hangs(file, signal) {
  try {
    while (!existsSync(file)) await delay(500, undefined, { signal });
    await delay(TEARDOWN_MS, undefined, { signal });
    return { code: 1, output: 'Jest did not end after its last test: something is still open' };
  } catch {
    return new Promise(() => undefined);
  }
}

const seconds = (ms) => `${(ms / 1_000).toFixed(1).padStart(7)} s`;

/** Counts steps and tests, and says the last line. */
export class Run {
  passed = 0;
  failed = 0;
  #startedAt = performance.now();

  constructor() {
    onEnd((reason) => {
      ending = true;
      console.log(`${reason}: ending what was started`);
      void endAll().finally(() => process.exit(reason === 'SIGINT' ? 130 : 143));
    });
  }

  /**
   * A step passes when `work` resolves, and fails with the text that it throws.
   * @param {() => Promise<string | undefined | void>} work resolves with a remark
   */
  async step(name, work) {
    if (ending) await new Promise(() => undefined);
    const startedAt = performance.now();
    const say = (result, remark) => {
      console.log(
        `${result.padEnd(6)} ${name.padEnd(18)}${seconds(performance.now() - startedAt)}${remark ? `  ${remark}` : ''}`,
      );
    };
    try {
      const remark = await work();
      this.passed += 1;
      say('ok', remark);
      return true;
    } catch (error) {
      // What fails now was ended by us.
      if (ending) await new Promise(() => undefined);
      if (!(error instanceof TestsError)) this.failed += 1;
      say('FAILED');
      const text =
        error instanceof StepError || error instanceof DependencyError ? error.message : error.stack;
      console.log(text.trimEnd().replaceAll(/^/gm, '       '));
      return false;
    }
  }

  /** A step that is a script: passes with exit code 0, shows its output otherwise. */
  script(name, args, options) {
    return this.step(name, async () => {
      const { code, output } = await runNode(args, options);
      if (code !== 0) throw new StepError(output.trim() || `exit code ${code}`);
    });
  }

  dependencies() {
    return this.step('dependencies', async () => {
      const installed = await ensureDependencies({ onProgress: (line) => console.log(`       ${line}`) });
      return installed ? 'installed' : 'in line with package-lock.json';
    });
  }

  /** The servers that Maven brings; one after the other, as they share Maven's own store. */
  async servers() {
    const kafka = await this.script('kafka', ['tools/kafka/fetch.mjs']);
    return (await this.script('s3proxy', ['tools/s3proxy/fetch.mjs'])) && kafka;
  }

  /** Jest's projects in one run; each test counts as one, and so does a file that cannot be run at all. */
  jest(name, projects, { workers = 1, args = [] } = {}) {
    return this.step(name, async () => {
      const file = join(ROOT, 'tmp', 'ci', `jest-${process.pid}.json`);
      rmSync(file, { force: true });
      mkdirSync(dirname(file), { recursive: true });
      const flags = ['--experimental-vm-modules', '--no-warnings=ExperimentalWarning'];
      const { code, output } = await runNode(
        [
          ...flags,
          'node_modules/jest/bin/jest.js',
          '--selectProjects',
          ...projects,
          `--maxWorkers=${workers}`,
          '--json',
          `--outputFile=${file}`,
          // What was asked for may be in another run.
          ...(args.length > 0 ? ['--passWithNoTests', ...args] : []),
        ],
        { live: true, timeoutMs: TESTS_MS, until: (signal) => hangs(file, signal) },
      );
      if (!existsSync(file)) throw new StepError(`Jest wrote no result (exit code ${code}) ${output}`.trim());
      const results = JSON.parse(readFileSync(file, 'utf8'));
      rmSync(file, { force: true });
      this.passed += results.numPassedTests;
      this.failed += results.numFailedTests + results.numRuntimeErrorTestSuites;

      const failing = results.testResults.flatMap(({ name, message, assertionResults }) => {
        const titles = assertionResults
          .filter(({ status }) => status === 'failed')
          .map(({ fullName }) => fullName);
        if (titles.length > 0) return titles.map((title) => `${relative(ROOT, name)}: ${title}`);
        return assertionResults.length === 0
          ? [`${relative(ROOT, name)}: ${message.trim().split('\n')[0]}`]
          : [];
      });
      const faults = [];
      const summary = `${results.numPassedTests} tests passed, ${failing.length} failed`;
      if (code !== 0 && results.numFailedTests + results.numRuntimeErrorTestSuites === 0)
        faults.push(`exit code ${code} ${output}`);
      if (results.numTotalTests === 0 && args.length === 0) faults.push('no test was found');
      const skipped = results.numPendingTests + results.numTodoTests;
      if (skipped > 0) faults.push(`${skipped} tests were skipped: remove them, or make them run`);
      if (failing.length > 0)
        console.log(`\nfailing tests:\n${failing.map((title) => `  ${title}`).join('\n')}\n`);
      if (faults.length > 0) throw new StepError(faults.join('\n'));
      if (failing.length > 0) throw new TestsError(summary);
      return summary;
    });
  }

  /** What a test leaves running would disturb the next one, or fill the machine. */
  processes() {
    return this.step('left running', async () => {
      for (const deadline = Date.now() + 5_000; marked().length > 0 && Date.now() < deadline;)
        await delay(100);
      const left = await endAll();
      if (left.length === 0) return 'nothing';
      throw new StepError(left.map(({ pid, command }) => `${pid} ${command.slice(0, 200)}`).join('\n'));
    });
  }

  finish() {
    console.log(`${seconds(performance.now() - this.#startedAt).trim()} in all`);
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed === 0 && this.passed > 0 ? 0 : 1);
  }
}

export class StepError extends Error {
  name = 'StepError';
}

/** Tests that failed, each of them counted already. */
class TestsError extends StepError {}
