import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { Heddle } from '@heddle/testing';

import { HubData } from './hub-data.js';
import { Ledger, owedFiles } from './ledger.js';
import type { OwedOrder } from './ledger.js';

export interface LedgerPlan {
  readonly orders: number;
  readonly recipes: number;
  /** Orders begun per second. */
  readonly perSecond: number;
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
const CANCELLED_ORDERS = 0.08;
const CANCELLED_FIRST = 0.02;
const CHANGED_RECIPES = 5;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Posts orders, updates and cancels at a steady rate, each repeated until the hub acknowledges it, and keeps a ledger of
 * what was acknowledged. What the hub then owes is checked against the factory's folder, the topics and the tables.
 */
export class LedgerRun {
  readonly ledger = new Ledger();
  /** Answers that were no 202, by status; 0: no answer. */
  readonly refusals = new Map<number, number>();
  private readonly data: HubData;
  private readonly random = numbers(20_260_101);
  private readonly late: number[] = [];
  private readonly end = new AbortController();
  private probes = 0;

  constructor(
    private readonly heddle: Heddle,
    private readonly plan: LedgerPlan,
  ) {
    this.data = new HubData(heddle);
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
    for (let index = 0; index < orders; index += 1) {
      const dueMs = (index / perSecond) * 1_000;
      await delay(Math.max(0, dueMs - (performance.now() - startedAt)));
      work.push(this.postOrder(index));
      if (index === Math.floor(orders / 3))
        work.push(...this.late.map((recipe) => this.postRecipe(this.recipeId(recipe), 1)));
      if (index % Math.floor(orders / (CHANGED_RECIPES + 1)) === 0 && index > orders / 3) {
        work.push(this.postRecipe(this.recipeId(index), 2));
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
    const line = (item: number, quantity: number): [object, string] => {
      const recipeId = picked[item] ?? '';
      return [{ recipeId, orderNumber, orderId, itemId: String(item + 1), itemQuantity: quantity }, recipeId];
    };
    const cancel = { orderNumber, orderId, reason: 'customer' };
    const owed = this.ledger.order(orderNumber, orderId);

    if (fate < CANCELLED_FIRST) await this.cancel(owed, cancel);
    const lines = second < 0.4 ? [line(0, 1), line(1, 2)] : [line(0, 1)];
    await this.associate(owed, lines);
    if (fate >= CANCELLED_FIRST && fate < CANCELLED_ORDERS) {
      await delay(pause);
      await this.cancel(owed, cancel);
    } else if (fate < CANCELLED_ORDERS + UPDATED_ORDERS) {
      await delay(pause);
      await this.associate(owed, second < 0.5 ? [line(2, 1)] : [line(0, 7)]);
    }
  }

  private async associate(owed: OwedOrder, lines: readonly [object, string][]): Promise<void> {
    await this.untilAccepted(
      '/api/v2/recipe/order',
      lines.map(([body]) => body),
    );
    for (const [, recipeId] of lines) owed.recipeIds.add(recipeId);
  }

  private async cancel(owed: OwedOrder, body: object): Promise<void> {
    await this.untilAccepted('/api/v2/order/cancel', [body]);
    owed.cancelled = true;
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
    await this.associate(owed, [
      [{ recipeId, orderNumber, orderId, itemId: '1', itemQuantity: 1 }, recipeId],
    ]);
    const [expected = ''] = owedFiles(owed);
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

  /** Faults of the factory's folder against the ledger; empty when every debt is paid. */
  async folderFaults(): Promise<readonly string[]> {
    const present = new Set(await readdir(this.heddle.sftpDirectory));
    const faults: string[] = [];
    const allowed = new Set<string>();
    for (const order of this.ledger.orders.values()) {
      for (const name of owedFiles(order)) {
        allowed.add(name);
        if (!present.has(name)) {
          if (!order.cancelled) faults.push(`missing: ${name}`);
          continue;
        }
        if (order.cancelled) continue;
        const content = await readFile(join(this.heddle.sftpDirectory, name), 'utf8');
        if (content !== this.owedContent(name)) faults.push(`wrong bytes: ${name}`);
      }
    }
    for (const name of present) if (!allowed.has(name)) faults.push(`nobody ordered: ${name}`);
    return faults;
  }

  private owedContent(name: string): string | undefined {
    const recipeId = /_R_(.+)_(?:Recipe|Production-Front)\./.exec(name)?.[1] ?? '';
    return name.endsWith('.json')
      ? this.ledger.recipes.get(recipeId)
      : `production of ${recipeId}\n`.repeat(200);
  }

  /** Order events whose first occurrences by event id do not have strictly rising versions on their topic. */
  async versionFaults(): Promise<readonly string[]> {
    const faults: string[] = [];
    for (const topic of ['order.submitted', 'order.updated', 'order.cancelled']) {
      const seen = new Set<string>();
      const highest = new Map<string, number>();
      for (const message of await this.data.read(topic)) {
        const id = message.headers['ce_id'] ?? '';
        if (seen.has(id)) continue;
        seen.add(id);
        const { orderUid, version } = JSON.parse(Buffer.from(message.value).toString()) as {
          orderUid: string;
          version: number;
        };
        const before = highest.get(orderUid) ?? 0;
        if (version <= before)
          faults.push(`${topic}: ${orderUid} version ${String(version)} after ${String(before)}`);
        highest.set(orderUid, version);
      }
    }
    return faults;
  }

  async deadLetters(): Promise<readonly string[]> {
    const found = await this.data.deadLetters();
    return found.map(({ topic, headers }) => `${topic}: ${JSON.stringify(headers)}`);
  }

  /** Deliveries of cancelled orders that were offered after the dispatcher had processed the cancel. */
  async offersAfterCancel(): Promise<readonly unknown[]> {
    return await this.data.query(
      `SELECT h.order_number, o.offered_at, h.updated_at
       FROM dispatcher.heads h
       JOIN dispatcher.deliveries d ON d.tenant = h.tenant AND d.kind = h.kind AND d.subject = h.subject
       JOIN dispatcher.offers o USING (delivery_id)
       WHERE h.kind = 'order' AND h.status = 'cancelled' AND o.offered_at > h.updated_at`,
    );
  }

  /** Orders that wait for a recipe that is there. */
  async missedLinks(): Promise<readonly string[]> {
    const page = (await this.heddle.client.expect(
      'GET',
      '/api/v2/orders?waitingForRecipe=true&limit=200',
    )) as {
      items: readonly { orderNumber: string }[];
    };
    return page.items.map(({ orderNumber }) => orderNumber);
  }
}
