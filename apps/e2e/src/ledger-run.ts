import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { Heddle } from '@heddle/testing';

import { CANCEL_REASON, Ledger } from './ledger.js';
import type { OwedItem, OwedOrder } from './ledger.js';

export interface LedgerPlan {
  readonly orders: number;
  readonly recipes: number;
  /** Orders begun per second. */
  readonly perSecond: number;
  /** Whether the integration includes pick tickets. */
  readonly hasTickets: boolean;
}

/** A generator of numbers from 0 to 1 that repeats itself for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const RETRY_MS = 150;
const LATE_RECIPES = 0.1;
const UPDATED_ORDERS = 0.3;
const CANCELLED_ORDERS = 0.1;
/** Of all orders, within the cancelled ones. */
const CANCELLED_FIRST = 0.03;
const CHANGED_RECIPES = 5;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Posts orders, updates and cancels at a steady rate, each repeated until the hub acknowledges it, and keeps a ledger of
 * what was acknowledged.
 */
export class LedgerRun {
  readonly ledger: Ledger;
  /** Answers that were no 202, by status; 0: no answer. */
  readonly refusals = new Map<number, number>();
  private readonly random = numbers(20_260_101);
  private readonly late: number[] = [];
  private readonly end = new AbortController();
  private probes = 0;

  constructor(
    readonly heddle: Heddle,
    private readonly plan: LedgerPlan,
  ) {
    this.ledger = new Ledger(plan.hasTickets);
  }

  private recipeId(index: number): string {
    return `${String(1 + (index % this.plan.recipes))}-LEDGER`;
  }

  /** All but a few, which come later than orders that use them. */
  async saveRecipes(): Promise<void> {
    const { recipes } = this.plan;
    await mkdir(this.heddle.filesDirectory, { recursive: true });
    for (let index = 0; index < recipes; index += 1) {
      const recipeId = this.recipeId(index);
      await writeFile(
        join(this.heddle.filesDirectory, `${recipeId}.pdf`),
        `production of ${recipeId}\n`.repeat(200),
      );
      if (index > 0 && this.random() < LATE_RECIPES) this.late.push(index);
      else await this.postRecipe(recipeId, 1);
    }
  }

  /** Resolves once all is acknowledged. */
  async postOrders(): Promise<void> {
    const { orders, perSecond } = this.plan;
    const startedAt = performance.now();
    const work: Promise<void>[] = [];
    const begin = (...parts: readonly Promise<void>[]): void => {
      // All are awaited at the end; one that fails before must not end the process.
      for (const part of parts) part.catch(() => undefined);
      work.push(...parts);
    };
    for (let index = 0; index < orders; index += 1) {
      const dueMs = (index / perSecond) * 1_000;
      await delay(Math.max(0, dueMs - (performance.now() - startedAt)));
      begin(this.postOrder(index));
      if (index === Math.floor(orders / 3))
        begin(...this.late.map((recipe) => this.postRecipe(this.recipeId(recipe), 1)));
      if (index % Math.floor(orders / (CHANGED_RECIPES + 1)) === 0 && index > orders / 3) {
        begin(this.postRecipe(this.recipeId(index), 2));
      }
    }
    await Promise.all(work);
  }

  /** Gives up on what is not acknowledged yet, so that a failed test ends. */
  abort(): void {
    this.end.abort();
  }

  private async postRecipe(recipeId: string, version: number): Promise<void> {
    const document = JSON.stringify({
      id: recipeId,
      name: `Ledger cap, version ${String(version)}`,
      views: [
        {
          name: 'Front',
          code: 'Front',
          productionReady: true,
          production: this.heddle.fileUrl(`${recipeId}.pdf`),
        },
      ],
    });
    const posted = this.ledger.posted.get(recipeId) ?? new Set();
    this.ledger.posted.set(recipeId, posted.add(document));
    await this.untilAccepted('/api/v2/recipe', JSON.parse(document));
    this.ledger.recipes.set(recipeId, document);
  }

  private async postOrder(index: number): Promise<void> {
    const { random } = this;
    const orderNumber = `L${String(index)}`;
    const orderId = `9${String(index).padStart(6, '0')}`;
    const [fate, second, pause] = [random(), random(), random() * LONGEST_PAUSE_MS];
    const picked = [random(), random(), random()].map((part) =>
      this.recipeId(Math.floor(part * this.plan.recipes)),
    );
    const line = (item: number, itemQuantity: number): OwedItem => ({
      itemId: String(item + 1),
      recipeId: picked[item] ?? '',
      itemQuantity,
    });
    const owed = this.ledger.order(orderNumber, orderId);

    if (fate < CANCELLED_FIRST) await this.cancel(owed);
    await this.associate(owed, second < 0.4 ? [line(0, 1), line(1, 2)] : [line(0, 1)]);
    if (fate < CANCELLED_FIRST) return;
    if (fate < CANCELLED_ORDERS) {
      // Some at once, so that a cancel also meets deliveries that are on their way.
      if (second < 0.7) await delay(pause);
      await this.cancel(owed);
    } else if (fate < CANCELLED_ORDERS + UPDATED_ORDERS) {
      await delay(pause);
      if (second < 0.5) await this.associate(owed, [line(2, 1)]);
      // One right after the other: the last word counts.
      else for (const quantity of [7, 3]) await this.associate(owed, [line(0, quantity)]);
    }
  }

  private async associate(owed: OwedOrder, items: readonly OwedItem[]): Promise<void> {
    const { orderNumber, orderId } = owed;
    const associations = items.map((item) => ({ orderNumber, orderId, ...item }));
    await this.untilAccepted('/api/v2/recipe/order', associations);
    owed.associate(items);
  }

  private async cancel(owed: OwedOrder): Promise<void> {
    const { orderNumber, orderId } = owed;
    await this.untilAccepted('/api/v2/order/cancel', [{ orderNumber, orderId, reason: CANCEL_REASON }]);
    owed.cancel();
  }

  /** What an OMS does: the same request again until it is acknowledged. */
  private async untilAccepted(path: string, body: unknown): Promise<void> {
    for (;;) {
      this.end.signal.throwIfAborted();
      const status = await this.heddle.client.call('POST', path, body).then(
        (answer) => answer.status,
        () => 0,
      );
      if (status === 202) return;
      if (status >= 400 && status < 500 && status !== 429)
        throw new Error(`POST ${path} was refused with ${String(status)}`);
      this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
      await delay(RETRY_MS);
    }
  }

  /**
   * Posts a new order and waits for its file.
   *
   * @returns milliseconds from the call to the file under its final name.
   */
  async probe(withinMs: number): Promise<number> {
    const startedAt = performance.now();
    this.probes += 1;
    const orderNumber = `P${String(this.probes)}`;
    const orderId = `8${String(this.probes).padStart(6, '0')}`;
    const recipeId = [...this.ledger.recipes.keys()][0] ?? '';
    const owed = this.ledger.order(orderNumber, orderId);
    await this.associate(owed, [{ recipeId, itemId: '1', itemQuantity: 1 }]);
    const [expected = ''] = this.ledger.owedFiles(owed);
    for (;;) {
      const there = await readFile(join(this.heddle.sftpDirectory, expected)).then(
        () => true,
        () => false,
      );
      const elapsedMs = performance.now() - startedAt;
      if (there) return elapsedMs;
      if (elapsedMs > withinMs)
        throw new Error(`${expected} was not there after ${String(Math.round(elapsedMs))} ms`);
      await delay(25);
    }
  }
}
