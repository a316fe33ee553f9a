/** `npm run test:faults`: what is promised when machines fail. Its tests start clusters of their own, one at a time. */
import { Run } from './run.mjs';

const run = new Run();
if (!(await run.dependencies())) run.finish();
const ready = [await run.servers(), await run.script('build', ['tools/build/build.mjs'])];
if (ready.every(Boolean)) await run.jest('tests', ['faults'], { args: process.argv.slice(2) });
await run.processes();
run.finish();
