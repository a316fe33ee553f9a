/** `npm test`: all of it, on a fresh clone too. Ends with `N passed, N failed`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Run, runNode, StepError } from './run.mjs';

const run = new Run();
if (!(await run.dependencies())) run.finish();

// Two lanes for two cores. Tests come after both: their deadlines deserve a quiet machine.
const lanes = [
  async () => {
    await run.servers();
    await run.script('lint', ['tools/ci/lint.mjs']);
  },
  async () => {
    await run.script('format', [
      'node_modules/prettier/bin/prettier.cjs',
      '--check',
      '--log-level',
      'warn',
      '.',
    ]);
    await run.script('types', [
      'node_modules/typescript/bin/tsc',
      '-p',
      'tsconfig.json',
      '--pretty',
      'false',
    ]);
    await run.script('build', ['tools/build/build.mjs']);
    await run.step('documents', async () => {
      const check = 'dist/tools/docs/main.js';
      if (!existsSync(join(ROOT, 'tools/docs/main.ts'))) return 'none are generated yet';
      const { code, output } = await runNode([check, '--check']);
      if (code !== 0) throw new StepError(`${output.trim()}\nrun \`npm run docs\` and commit the difference`);
      return 'as generated';
    });
  },
];
await Promise.all(lanes.map((lane) => lane()));
const args = process.argv.slice(2);
// Most of these wait, for a server or for a deadline. Each of the others has a whole Heddle to itself.
await run.jest('unit, integration', ['unit', 'integration'], { workers: 2, args });
await run.jest('end to end', ['e2e'], { args });
await run.processes();
run.finish();
