import { DeliveryPage } from '@heddle/contracts';
import { eventually } from '@heddle/testing';
import type { Heddle, HookReaction } from '@heddle/testing';

import type { BenchRow } from './bench-row.js';
import { heddleChain, spread, withHookHub } from './hook-load.js';
import type { HookHub, Outcome } from './hook-load.js';
import { percentile } from './process-facts.js';

const HOOKS = 10;
const RATE = 200;
const SECONDS = 4;
const ROUNDS = 5;
const WARM_UP_S = 10;
const DRAINED_MS = 90_000;
const TROUBLES: readonly (readonly [name: string, HookReaction])[] = [
  ['hang', 'hang'],
  ['answer 503', { status: 503 }],
  ['take 2 s', { afterMs: 2_000 }],
];
const AIMS = new Map([
  [1, 1.15],
  [5, 1.3],
]);

/** What healthy hooks lose while one, then five of ten are in trouble. Runs with and without take turns. */
export function isolationBench(): Promise<readonly BenchRow[]> {
  return withHookHub({ HOOK_TIMEOUT_MS: '3000', RETRY_DELAYS_MS: '1000,1000' }, measure);
}

async function measure({ heddle, catcher }: HookHub): Promise<readonly BenchRow[]> {
  const accept = await heddleChain(heddle, catcher, HOOKS);
  let runs = 0;
  const run = async (count: number, reaction: HookReaction, seconds = SECONDS): Promise<Outcome> => {
    runs += 1;
    const prefix = `R${String(runs)}-`;
    const outcome = await spread(accept, catcher, {
      prefix,
      rate: RATE,
      seconds,
      sick: { count, hooks: HOOKS, reaction },
    });
    catcher.rule = () => undefined;
    catcher.cutConnections();
    await drained(heddle);
    return outcome;
  };
  await run(0, 'hang', WARM_UP_S);
  const rows: BenchRow[] = [];
  for (const [sick, aim] of AIMS) {
    for (const [name, reaction] of TROUBLES) {
      const ratios: number[] = [];
      let p99 = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const without = await run(0, reaction);
        const beside = await run(sick, reaction);
        ratios.push(beside.p99 / without.p99);
        p99 = beside.p99;
      }
      const ratio = percentile(
        ratios.sort((a, b) => a - b),
        0.5,
      );
      rows.push({
        figure: `hooks, ${String(RATE)} orders/s: p99 of the others while ${String(sick)} of ${String(HOOKS)} ${name}, against without`,
        value: `${ratio.toFixed(2)} x (the last ${p99.toFixed(0)} ms), none left behind`,
        aim: `<= ${String(aim)} x`,
        holds: ratio <= aim,
      });
    }
  }
  return rows;
}

/** Until nothing is on its way, so that one run's trouble is not the next one's. */
async function drained({ admin }: Heddle): Promise<void> {
  await eventually(
    async () => {
      for (const state of ['ready', 'in-flight', 'retrying', 'waiting']) {
        const page = await admin.expect('GET', `/api/v2/deliveries?state=${state}&limit=1`);
        if (DeliveryPage.parse(page).items.length > 0) throw new Error(`deliveries are ${state}`);
      }
    },
    { withinMs: DRAINED_MS, everyMs: 250 },
  );
}
