import { Inject, Injectable } from '@nestjs/common';
import { METRICS } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';
import { Counter, Gauge } from 'prom-client';

import type { OrderChange } from '../orders/order-state.js';

/** Outcomes of single associations and recipes that nobody would see otherwise. */
export type Note = 'joined-newest' | 'outdated' | 'beyond-limit';

@Injectable()
export class StoreMetrics {
  private readonly orderEvents: Counter<'topic' | 'reason'>;
  private readonly recipeEvents: Counter<'topic'>;
  private readonly notes: Counter<'note'>;
  private readonly filesLeftOut: Counter;
  private readonly waitingItems: Gauge;
  private readonly oldestWaitingSeconds: Gauge;
  private readonly overdueItems: Gauge;
  private readonly oldestOverdueSeconds: Gauge;
  private readonly missedLinks: Gauge;
  private readonly linksDue: Gauge;

  constructor(@Inject(METRICS) metrics: Metrics) {
    const registers = [metrics];
    this.orderEvents = new Counter({
      name: 'heddle_order_events_total',
      help: 'Versions of orders, and so order events, by topic and reason.',
      labelNames: ['topic', 'reason'],
      registers,
    });
    this.recipeEvents = new Counter({
      name: 'heddle_recipe_events_total',
      help: 'Versions of recipes, and so recipe events, by topic.',
      labelNames: ['topic'],
      registers,
    });
    this.notes = new Counter({
      name: 'heddle_associations_noted_total',
      help: 'Associations and recipes that took an unusual way: joined the newest of several orders, lost against a newer message, went beyond the limit of open items.',
      labelNames: ['note'],
      registers,
    });
    this.filesLeftOut = new Counter({
      name: 'heddle_order_file_lists_left_out_total',
      help: 'File lists left out of order events that Kafka would have refused for their size.',
      registers,
    });
    this.waitingItems = new Gauge({
      name: 'heddle_waiting_items',
      help: 'Order items whose recipe is not there yet.',
      registers,
    });
    this.oldestWaitingSeconds = new Gauge({
      name: 'heddle_waiting_items_oldest_age_seconds',
      help: 'Age of the order item that has waited longest for its recipe.',
      registers,
    });
    this.overdueItems = new Gauge({
      name: 'heddle_overdue_items',
      help: 'Items of open orders that have waited for their recipe for longer than WAITING_ALERT_MS.',
      registers,
    });
    this.oldestOverdueSeconds = new Gauge({
      name: 'heddle_overdue_items_oldest_age_seconds',
      help: 'Age of the one that has waited longest; 0 where there is none.',
      registers,
    });
    this.missedLinks = new Gauge({
      name: 'heddle_missed_links',
      help: 'Order items that waited although their recipe was there, as the last sweep found them. Should be 0.',
      registers,
    });
    this.linksDue = new Gauge({
      name: 'heddle_links_due',
      help: 'Recipes whose orders have not all been told yet.',
      registers,
    });
  }

  orderChanges(changes: readonly OrderChange[], leftOut: number): void {
    for (const { topic, order } of changes) this.orderEvents.inc({ topic, reason: order.reason });
    if (leftOut > 0) this.filesLeftOut.inc(leftOut);
  }

  recipeSaved(topic: 'recipe.created' | 'recipe.updated'): void {
    this.recipeEvents.inc({ topic });
  }

  noted(note: Note, count: number): void {
    if (count > 0) this.notes.inc({ note }, count);
  }

  overdue(found: { readonly items: number; readonly oldestSeconds: number }): void {
    this.overdueItems.set(found.items);
    this.oldestOverdueSeconds.set(found.oldestSeconds);
  }

  swept(found: {
    readonly waitingItems: number;
    readonly oldestWaitingSeconds: number;
    readonly missedLinks: number;
    readonly linksDue: number;
  }): void {
    this.waitingItems.set(found.waitingItems);
    this.oldestWaitingSeconds.set(found.oldestWaitingSeconds);
    this.missedLinks.set(found.missedLinks);
    this.linksDue.set(found.linksDue);
  }
}
