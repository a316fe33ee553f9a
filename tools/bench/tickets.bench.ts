import { join } from 'node:path';

import type { TicketInput } from '@heddle/pick-ticket';
import { workspaceRoot } from '@heddle/testing';
import { Piscina } from 'piscina';
import { PNG } from 'pngjs';

import type { BenchRow } from './bench-row.js';

const WARM_UP = 60;
const TICKETS = 300;
const RATE_AIM = 20;
const P99_AIM_MS = 200;
const PREVIEW_PIXELS = 600;

/**
 * Tickets one after the other in one thread, which is one core: what the store runs, on what it hands over. Each of another
 * recipe and order, so that nothing is drawn twice.
 */
export async function ticketsBench(): Promise<readonly BenchRow[]> {
  const pool = new Piscina({
    filename: join(workspaceRoot(), 'dist', 'apps', 'association-store', 'ticket-thread.js'),
    minThreads: 1,
    maxThreads: 1,
    atomics: 'disabled',
    execArgv: [],
  });
  try {
    const previews = [preview(1), preview(2)];
    const rows: BenchRow[] = [];
    for (const [what, views] of [
      ['two see-through PNG previews', previews],
      ['no preview', [null, null]],
    ] as const) {
      for (let n = 0; n < WARM_UP; n += 1) await pool.run(ticket(n, views), { name: 'draw' });
      const latencies: number[] = [];
      const startedAt = performance.now();
      for (let n = 0; n < TICKETS; n += 1) {
        const askedAt = performance.now();
        await pool.run(ticket(1_000 + n, views), { name: 'draw' });
        latencies.push(performance.now() - askedAt);
      }
      const perSecond = (TICKETS * 1_000) / (performance.now() - startedAt);
      rows.push(...rowsOf(what, perSecond, latencies));
    }
    return rows;
  } finally {
    await pool.destroy();
  }
}

function rowsOf(what: string, perSecond: number, latencies: readonly number[]): readonly BenchRow[] {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return [
    {
      figure: `tickets: a second on one core, 12 placements, ${what}`,
      value: perSecond.toFixed(0),
      aim: `>= ${String(RATE_AIM)}`,
      holds: perSecond >= RATE_AIM,
    },
    {
      figure: `tickets: p50 and p99, 12 placements, ${what}`,
      value: `${at(0.5).toFixed(0)} ms, ${at(0.99).toFixed(0)} ms`,
      aim: `p99 < ${String(P99_AIM_MS)} ms`,
      holds: at(0.99) < P99_AIM_MS,
    },
  ];
}

function ticket(n: number, previews: TicketInput['previews']): TicketInput {
  const recipeId = `2-vBYtsQB2nd${String(n)}`;
  const places = ['Front crown', 'Left side', 'Right side', 'Peak', 'Closure', 'Back'];
  const components = Array.from({ length: 12 }, (_, index) => ({
    code: `P${String(index)}`,
    name: places[index % places.length],
    component: {
      code: `P${String(index)}-RED-${String(n)}`,
      placementIndependentCode: `RED-${String(n)}`,
      colour: { name: 'Cardinal', hex: '#b01020' },
      ...(index % 3 === 0 && { text: `Jürgen Größe ${String(n)}`, font: 'Block', size: '24 mm' }),
    },
  }));
  const views = [
    { name: 'Front', code: 'F', productionReady: true },
    { name: 'Back', code: 'B', productionReady: true },
  ];
  const document = {
    id: recipeId,
    created: '2025-03-04T10:20:30Z',
    name: `Team Cap ${String(n)}`,
    styleCode: 'CAP-01',
  };
  return {
    recipeId,
    version: 1,
    document: JSON.stringify({ ...document, components, views }),
    paper: 'a4',
    order: {
      orderNumber: String(100_000 + n),
      orderId: String(6_182_665_000_000 + n),
      quantity: 2,
      items: [{ itemId: String(13_000_000 + n), itemQuantity: 2 }],
      moreItems: 0,
    },
    previews,
  };
}

/** A shaded disc on nothing, about as hard to pack as a rendering. */
function preview(seed: number): Buffer {
  const size = PREVIEW_PIXELS;
  const png = new PNG({ width: size, height: size });
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const radius = Math.hypot(x - size / 2, y - size / 2) / size;
      const shade = 128 + 60 * Math.sin(x / (8 + seed)) * Math.cos(y / 7);
      png.data.set([(x * 255) / size, (y * 255) / size, shade, radius < 0.45 ? 255 : 0], (y * size + x) * 4);
    }
  }
  return PNG.sync.write(png);
}
