import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { OrderChangedV1, OrderPage, TOPIC } from '@heddle/contracts';
import type { OrderView } from '@heddle/contracts';
import type { Heddle } from '@heddle/testing';

import { HubData } from './hub-data.js';
import { CANCEL_REASON } from './ledger.js';
import type { Ledger, OwedOrder } from './ledger.js';

interface OrderEvent {
  readonly topic: string;
  readonly eventId: string;
  readonly order: OrderChangedV1;
}

const ORDER_TOPICS = [TOPIC.orderSubmitted, TOPIC.orderUpdated, TOPIC.orderCancelled] as const;

/**
 * Checks what the hub owes after a run against what the factory's folder, the API, the topics and the tables hold.
 * Each check returns its faults, one line each.
 */
export class LedgerAudit {
  private readonly data: HubData;

  constructor(
    private readonly heddle: Heddle,
    private readonly ledger: Ledger,
  ) {
    this.data = new HubData(heddle);
  }

  /**
   * Every file of an open order is there, once, with the bytes of now. One that was cancelled later may have some,
   * with the bytes of then; one that was cancelled before it came has none. Nothing else is there.
   */
  async folderFaults(): Promise<readonly string[]> {
    const present = new Set(await readdir(this.heddle.sftpDirectory));
    const faults: string[] = [];
    for (const order of this.ledger.orders.values()) {
      if (order.cancelled === 'before') continue;
      for (const name of this.ledger.owedFiles(order)) {
        if (!present.delete(name)) {
          if (order.cancelled === 'never') faults.push(`missing: ${name}`);
          continue;
        }
        const content = await readFile(join(this.heddle.sftpDirectory, name), 'utf8');
        if (!this.isContentOf(order, name, content)) faults.push(`wrong bytes: ${name}`);
      }
    }
    for (const name of present) faults.push(`nobody is to have: ${name}`);
    return faults;
  }

  private isContentOf(order: OwedOrder, name: string, content: string): boolean {
    const recipeId = /_R_(.+)_(?:Recipe|Production-Front|Ticket)\./.exec(name)?.[1] ?? '';
    if (name.endsWith('_Ticket.pdf'))
      return content.startsWith('%PDF-') && content.includes(order.orderNumber);
    if (name.endsWith('.pdf')) return content === `production of ${recipeId}\n`.repeat(200);
    return order.cancelled === 'never'
      ? content === this.ledger.recipes.get(recipeId)
      : this.ledger.posted.get(recipeId)?.has(content) === true;
  }

  /** Each acknowledged order is there once, with the lines and the status that were acknowledged last. */
  async orderFaults(): Promise<readonly string[]> {
    const found = Map.groupBy(await this.orders(), ({ orderNumber }) => orderNumber);
    const faults: string[] = [];
    for (const owed of this.ledger.orders.values()) {
      const views = found.get(owed.orderNumber) ?? [];
      found.delete(owed.orderNumber);
      const shown = JSON.stringify(views.map(wordsOf));
      const expected = JSON.stringify([owedWords(owed)]);
      if (shown !== expected) faults.push(`order ${owed.orderNumber} is ${shown}, not ${expected}`);
    }
    for (const orderNumber of found.keys()) faults.push(`order ${orderNumber}: nobody ordered it`);
    return faults;
  }

  /** On its topic each order's versions rise, and its newest event says what the API says. */
  async eventFaults(): Promise<readonly string[]> {
    const views = await this.orders();
    const faults: string[] = [];
    const highest = new Map<string, number>();
    const newest = new Map<string, OrderChangedV1>();
    for (const { topic, order } of await this.events()) {
      const { orderUid, version } = order;
      const before = highest.get(`${topic} ${orderUid}`) ?? 0;
      if (version <= before)
        faults.push(`${topic}: ${orderUid} version ${String(version)} after ${String(before)}`);
      highest.set(`${topic} ${orderUid}`, version);
      if (version > (newest.get(orderUid)?.version ?? 0)) newest.set(orderUid, order);
    }
    for (const view of views) {
      const said = newest.get(view.orderUid);
      if (!isDeepStrictEqual(said, view))
        faults.push(
          `${view.orderNumber} is ${JSON.stringify(view)}, its newest event ${JSON.stringify(said)}`,
        );
    }
    return faults;
  }

  /**
   * Cancelled orders that the dispatcher has not heard of, and offers of their deliveries that were made after it had:
   * from the first event of the order that said so, whatever came later.
   */
  async offersAfterCancel(): Promise<readonly unknown[]> {
    const cancels = (await this.events())
      .filter(({ order }) => order.status === 'cancelled')
      .map(({ eventId, order: { orderUid, orderNumber } }) => ({ eventId, orderUid, orderNumber }));
    // An offer and a cancel that begin together take turns, so the one that begins later may be the first: for an
    // offer of a delivery that was there before, a second is far longer than that takes.
    return await this.data.query(
      `SELECT c."orderNumber", c.cancelled_at, o.offered_at
       FROM (SELECT i."orderUid", i."orderNumber", min(e.handled_at) AS cancelled_at
             FROM json_to_recordset($1) AS i ("orderUid" text, "orderNumber" text, "eventId" uuid)
             LEFT JOIN dispatcher.handled_events e ON e.event_id = i."eventId" GROUP BY 1, 2) c
       LEFT JOIN dispatcher.deliveries d
         ON d.kind = 'order' AND d.subject = c."orderUid" AND d.trigger <> 'order.cancelled'
       LEFT JOIN dispatcher.offers o ON o.delivery_id = d.delivery_id
         AND (o.offered_at > c.cancelled_at + interval '1 second' OR d.created_at > c.cancelled_at)
       WHERE c.cancelled_at IS NULL OR o.offer_id IS NOT NULL`,
      [JSON.stringify(cancels)],
    );
  }

  async deadLetters(): Promise<readonly string[]> {
    const found = await this.data.deadLetters();
    return found.map(({ topic, headers }) => `${topic}: ${JSON.stringify(headers)}`);
  }

  /** Orders that wait for a recipe that is there. */
  async missedLinks(): Promise<readonly string[]> {
    return (await this.orders('waitingForRecipe=true')).map(({ orderNumber }) => orderNumber);
  }

  /** All pages. */
  private async orders(filter = ''): Promise<readonly OrderView[]> {
    const found: OrderView[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams(filter);
      query.set('limit', '200');
      if (cursor !== null) query.set('cursor', cursor);
      const page = OrderPage.parse(
        await this.heddle.client.expect('GET', `/api/v2/orders?${query.toString()}`),
      );
      found.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return found;
  }

  /** First occurrences by event id, of each topic in the order in which its partitions hold them. */
  private async events(): Promise<readonly OrderEvent[]> {
    const seen = new Set<string>();
    const messages = (await Promise.all(ORDER_TOPICS.map((topic) => this.data.read(topic)))).flat();
    return messages.flatMap(({ topic, headers, value }): OrderEvent[] => {
      const eventId = headers['ce_id'] ?? '';
      if (seen.has(eventId)) return [];
      seen.add(eventId);
      return [{ topic, eventId, order: OrderChangedV1.parse(JSON.parse(Buffer.from(value).toString())) }];
    });
  }
}

/** Of an order, what whoever posted it has decided. */
function wordsOf({ orderId, status, cancelReason, items }: OrderView): unknown {
  return {
    orderId,
    status,
    cancelReason,
    items: items.map(({ itemId, recipeId, itemQuantity, recipe }) => [
      itemId,
      recipeId,
      itemQuantity,
      recipe.state,
    ]),
  };
}

function owedWords({ orderId, cancelled, items }: OwedOrder): unknown {
  return {
    orderId,
    status: cancelled === 'never' ? 'open' : 'cancelled',
    cancelReason: cancelled === 'never' ? null : CANCEL_REASON,
    items: items.map(({ itemId, recipeId, itemQuantity }) => [itemId, recipeId, itemQuantity, 'linked']),
  };
}
