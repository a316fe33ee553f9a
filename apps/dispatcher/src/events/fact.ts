import type { OrderChangedV1, RecipeSavedV1, Trigger } from '@heddle/contracts';
import type { ReceivedEvent } from '@heddle/messaging';

/** What a public event says about one order or one recipe, in the dispatcher's terms. */
export interface Fact {
  readonly eventId: string;
  /** Null: it starts nothing, and only says what is newest. */
  readonly trigger: Trigger | null;
  readonly tenant: string;
  readonly kind: 'order' | 'recipe';
  /** Order uid, or recipe id for the feed. */
  readonly subject: string;
  readonly version: number;
  readonly status: 'open' | 'cancelled';
  readonly channel: string;
  readonly orderNumber: string | null;
  readonly orderId: string | null;
  readonly recipeIds: readonly string[];
  /** Some recipe of it has not come. */
  readonly isWaiting: boolean;
  readonly isTemporary: boolean;
  /** A recipe that was temporary before: new to those that are not told of temporary ones, and to nobody else. */
  readonly becamePermanent: boolean;
  readonly acceptedAt: string;
  readonly traceparent: string | undefined;
  readonly document: OrderChangedV1 | RecipeSavedV1;
}

export function orderFact(trigger: Trigger, event: ReceivedEvent<OrderChangedV1>): Fact {
  const order = event.data;
  const used = order.items.filter(({ itemQuantity }) => itemQuantity > 0);
  return {
    eventId: event.id,
    trigger,
    tenant: order.tenant,
    kind: 'order',
    subject: order.orderUid,
    version: order.version,
    status: order.status,
    channel: order.channel,
    orderNumber: order.orderNumber,
    orderId: order.orderId,
    recipeIds: [...new Set(used.map(({ recipeId }) => recipeId))],
    isWaiting: used.some(({ recipe }) => recipe.state === 'waiting'),
    isTemporary: false,
    becamePermanent: false,
    acceptedAt: order.acceptedAt,
    traceparent: event.traceparent,
    document: order,
  };
}

export function recipeFact(
  topic: 'recipe.created' | 'recipe.updated',
  event: ReceivedEvent<RecipeSavedV1>,
): Fact {
  const recipe = event.data;
  const { becamePermanent = false } = recipe;
  return {
    eventId: event.id,
    // Other content starts nothing: a recipe that somebody triggers by hand goes out at its newest version.
    trigger: topic === 'recipe.created' || becamePermanent ? 'recipe.created' : null,
    tenant: recipe.tenant,
    kind: 'recipe',
    subject: recipe.recipeId,
    version: recipe.version,
    status: 'open',
    channel: recipe.channel,
    orderNumber: null,
    orderId: null,
    recipeIds: [recipe.recipeId],
    isWaiting: false,
    isTemporary: recipe.temporary,
    becamePermanent,
    acceptedAt: recipe.acceptedAt,
    traceparent: event.traceparent,
    document: recipe,
  };
}

export interface Subject {
  readonly tenant: string;
  readonly kind: 'order' | 'recipe';
  readonly subject: string;
}

/** Unambiguous: tenants and kinds hold no colon. */
export function subjectKey({ tenant, kind, subject }: Subject): string {
  return `${tenant}:${kind}:${subject}`;
}

export function laneKey(tenant: string, integrationId: string, subject: string): string {
  return `${tenant}:${integrationId}:${subject}`;
}
