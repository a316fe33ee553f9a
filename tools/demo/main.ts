import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { DeliveryPage, OrderPage } from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import { HubClient } from '@heddle/testing';

import { readLocalFile } from '../local/local-file.js';
import type { LocalFile } from '../local/local-file.js';

import { arrivals } from './arrivals.js';
import type { Arrived } from './arrivals.js';
import { previewPng, productionPdf } from './artwork.js';
import type { Design } from './artwork.js';

const ORDERS = 8;
const WAIT_MS = 60_000;
const PRODUCTS = [
  ['Team Cap', 'CAP-01', 'LIONS', [178, 34, 52]],
  ['Mug 330 ml', 'MUG-33', 'GOOD MORNING', [32, 84, 147]],
  ['Hoodie', 'HOOD-7', 'CREW 2026', [52, 73, 60]],
  ['Tote Bag', 'TOTE-2', 'FRESH', [204, 120, 40]],
] as const;

/** Writes a design's files where the sandbox serves them, and returns its recipe document. */
async function makeRecipe(local: LocalFile, design: Design, styleCode: string): Promise<unknown> {
  const { baseUrl, directory } = local.sandbox.files;
  const front = `${design.recipeId}-Front`;
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, `${front}.pdf`), await productionPdf(design));
  await writeFile(join(directory, `${front}.png`), previewPng(design));
  const at = (name: string): string => `${baseUrl.replace(/\/$/, '')}/${name}`;
  return {
    id: design.recipeId,
    created: new Date().toISOString(),
    name: design.product,
    styleCode,
    components: [
      { code: 'P01', text: design.text, component: { code: 'P01-PRINT', placementIndependentCode: 'PRINT' } },
    ],
    views: [
      {
        name: 'Front',
        code: 'Front',
        previewPng: at(`${front}.png`),
        productionReady: true,
        production: at(`${front}.pdf`),
      },
    ],
  };
}

async function deliveriesOf(hub: HubClient, orderNumber: string): Promise<readonly DeliverySummary[]> {
  return DeliveryPage.parse(await hub.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`)).items;
}

const DONE: ReadonlySet<string> = new Set(['succeeded', 'superseded']);
const OPEN: ReadonlySet<string> = new Set(['waiting', 'ready', 'in-flight', 'retrying']);

async function demo(): Promise<void> {
  const local = await readLocalFile(process.env['HEDDLE_DIRECTORY']);
  const hub = new HubClient(local.baseUrl, local.apiKey);
  // New numbers each time: the same orders again would, rightly, change nothing.
  const run = randomBytes(3).toString('hex').toUpperCase();
  const designs = PRODUCTS.map(([product, styleCode, text, colour], index) => ({
    styleCode,
    design: { recipeId: `${String(index + 1)}-DEMO${run}`, product, text, colour } satisfies Design,
  }));
  const recipes = await Promise.all(
    designs.map(({ design, styleCode }) => makeRecipe(local, design, styleCode)),
  );
  const startedAt = performance.now();
  await hub.expect('POST', '/api/v2/recipe', recipes);
  console.log(`${String(recipes.length)} recipes posted, each with a production PDF and a preview PNG`);

  const orderNumbers = Array.from({ length: ORDERS }, (_, index) => `D${run}-${String(index + 1)}`);
  for (const [index, orderNumber] of orderNumbers.entries()) {
    const lines = [0, 1].map((line) => ({
      recipeId: designs[(index + line) % designs.length]?.design.recipeId,
      orderNumber,
      orderId: `${run}${String(1000 + index)}`,
      itemId: `${orderNumber}-${String(line + 1)}`,
      itemQuantity: 1 + ((index + line) % 5),
    }));
    await hub.expect('POST', '/api/v2/recipe/order', lines);
  }
  console.log(`${String(ORDERS)} orders posted, two lines each; waiting until their files are delivered`);

  // Each sandbox has an integration.
  const destinations = (await arrivals(local)).size;
  const deadline = performance.now() + WAIT_MS;
  let deliveries: OrderDeliveries;
  do {
    await delay(250);
    deliveries = await Promise.all(
      orderNumbers.map(async (number) => [number, await deliveriesOf(hub, number)] as const),
    );
  } while (
    deliveries.some(([, some]) => some.length < destinations || some.some(({ state }) => OPEN.has(state))) &&
    performance.now() < deadline
  );

  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const arrived = await arrivals(local);
  const failed = deliveries.filter(
    ([, some]) => some.length < destinations || some.some(({ state }) => !DONE.has(state)),
  );
  printOrders(deliveries, arrived);
  const [first = ''] = orderNumbers;
  const { items } = OrderPage.parse(await hub.expect('GET', `/api/v2/orders?orderNumber=${first}`));
  console.log(`\nThe first of them, version ${String(items[0]?.version ?? '?')}, as it arrived:`);
  printFiles(first, arrived);
  console.log(
    failed.length === 0
      ? `\nAll ${String(ORDERS)} orders were delivered in ${seconds} s.`
      : `\n${String(failed.length)} of ${String(ORDERS)} orders are not delivered after ${seconds} s: look at GET /api/v2/deliveries.`,
  );
  if (failed.length > 0) process.exitCode = 1;
}

type Arrivals = Awaited<ReturnType<typeof arrivals>>;
type OrderDeliveries = readonly (readonly [orderNumber: string, deliveries: readonly DeliverySummary[]])[];

const filesOf = (orderNumber: string, arrived: readonly Arrived[]): readonly Arrived[] =>
  arrived.filter(({ name }) => name.startsWith(`${orderNumber}_ID_`));

/** A line for each order, a column for each destination: how its delivery ended, and how many files are there. */
function printOrders(deliveries: OrderDeliveries, arrived: Arrivals): void {
  const kinds = [...arrived.keys()];
  console.log(`\n${'order'.padEnd(12)}${kinds.map((kind) => kind.padEnd(20)).join('')}`);
  for (const [orderNumber, some] of deliveries) {
    const cells = kinds.map((kind) => {
      const delivery = some.find(({ destination }) => destination === kind);
      if (delivery === undefined) return '-'.padEnd(20);
      const count = filesOf(orderNumber, arrived.get(kind) ?? []).length;
      return `${delivery.state}, ${String(count)} files`.padEnd(20);
    });
    console.log(`${orderNumber.padEnd(12)}${cells.join('')}`);
  }
}

/** A line for each file, with what stands at each destination: the same bytes everywhere, or somebody sees it here. */
function printFiles(orderNumber: string, arrived: Arrivals): void {
  const places = new Map<string, string[]>();
  for (const [kind, all] of arrived) {
    for (const { name, sizeBytes } of filesOf(orderNumber, all)) {
      const size = sizeBytes === null ? 'link' : `${String(sizeBytes)} B`;
      places.set(name, [...(places.get(name) ?? []), `${kind} ${size}`]);
    }
  }
  for (const name of [...places.keys()].sort())
    console.log(`  ${name}\n      ${(places.get(name) ?? []).join(', ')}`);
}

try {
  await demo();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
