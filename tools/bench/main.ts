import { backlogBench } from './backlog.bench.js';
import type { BenchRow } from './bench-row.js';
import { printTable } from './bench-row.js';
import { gatewayBench } from './gateway.bench.js';
import { hooksBench } from './hooks.bench.js';
import { isolationBench } from './isolation.bench.js';
import { pipelineBench } from './pipeline.bench.js';
import { producerBench } from './producer.bench.js';
import { startupBench } from './startup.bench.js';
import { storeBench } from './store.bench.js';
import { ticketsBench } from './tickets.bench.js';
import { workersBench } from './workers.bench.js';

const BENCHES = new Map<string, () => Promise<readonly BenchRow[]>>([
  ['producer', producerBench],
  ['store', storeBench],
  ['gateway', gatewayBench],
  ['pipeline', pipelineBench],
  ['hooks', hooksBench],
  ['isolation', isolationBench],
  ['backlog', backlogBench],
  ['workers', workersBench],
  ['tickets', ticketsBench],
  ['startup', startupBench],
]);

/** `npm run bench [-- <name> ...]`: one after the other, as each needs the machine for itself; one table at the end. */
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !BENCHES.has(name));
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}; there are ${[...BENCHES.keys()].join(', ')}.`);
  process.exit(2);
}
const rows: BenchRow[] = [];
for (const [name, bench] of BENCHES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.error(`measuring: ${name}`);
  try {
    rows.push(...(await bench()));
  } catch (error) {
    // What the others measured is worth seeing all the same.
    const reason = error instanceof Error ? error.message : String(error);
    rows.push({ figure: name, value: reason, aim: 'measured', holds: false });
  }
}
printTable(rows);
// Everything that was started is closed; what a library keeps open must not keep this process.
process.exit(rows.every(({ holds }) => holds) ? 0 : 1);
