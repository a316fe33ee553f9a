/**
 * ESLint on everything, or on the paths given. The boundary rule skips itself when it has no project graph, so the graph
 * is written first, the rule is asked about each row, and an output that says "skipped" is a failure.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onEnd } from '../bootstrap/ending.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

const children = new Set();
onEnd(() => {
  for (const child of children) child.kill('SIGKILL');
  process.exit(143);
});

function node(args) {
  return new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let output = '';
    const keep = (chunk) => (output += chunk);
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('close', (code) => {
      children.delete(child);
      done({ code: code ?? 1, output });
    });
  });
}

function report(what, { code, output }) {
  const skipped = /will be skipped/i.test(output);
  if (output.trim() !== '') console.log(output.trimEnd());
  if (skipped) console.error(`${what}: the boundary rule was skipped`);
  return code === 0 && !skipped;
}

const paths = process.argv.slice(2).map((path) => resolve(path));
const graph = await node(['tools/ci/graph.mjs']);
if (graph.code !== 0) {
  console.error(`writing the project graph:\n${graph.output}`);
  process.exit(1);
}
const [eslint, boundaries] = await Promise.all([
  node([
    join('node_modules', 'eslint', 'bin', 'eslint.js'),
    '--max-warnings=0',
    ...(paths.length > 0 ? paths : ['.']),
  ]),
  node(['tools/ci/boundaries.mjs']),
]);
const fine = [report('eslint', eslint), report('boundaries', boundaries)];
process.exitCode = fine.every(Boolean) ? 0 : 1;
