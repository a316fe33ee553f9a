import { Notification, NotifiedDelivery } from '@heddle/contracts';
import type { DeliveryCode, DestinationKind, NotificationKind } from '@heddle/contracts';

export type NoticeKind = Exclude<NotificationKind, 'digest'>;

interface Failure {
  readonly attempt: number;
  readonly at: string;
  readonly code: DeliveryCode;
  readonly message: string;
}

/** A delivery that a notification shows. */
export interface NoticedDelivery {
  readonly kind: NoticeKind;
  readonly deliveryId: string;
  readonly orderNumber: string | null;
  readonly orderId: string | null;
  readonly recipeIds: readonly string[];
  readonly recipeCount: number;
  readonly hasStopped: boolean;
  /** Attempts that failed, oldest first. */
  readonly attempts: readonly Failure[];
  /** Why it failed in the end; null where nothing failed. */
  readonly end: Failure | null;
}

/** How many notices of each kind it is about. */
export type NoticeCounts = Readonly<Record<NoticeKind, number>>;

/** What the mail is to say; `shown` are the first of each kind. */
export function notificationOf(
  integration: { readonly description: string; readonly destination: DestinationKind },
  counts: NoticeCounts,
  shown: readonly NoticedDelivery[],
): Notification {
  const [first] = shown;
  if (first === undefined) throw new TypeError('a notification about nothing');
  const { description, destination } = integration;
  const about = { integration: { description, destination } };
  if (counts.failed + counts.recovered + counts.succeeded === 1)
    return Notification.parse({ kind: first.kind, ...about, delivery: deliveryOf(first) });
  // One that cannot be shown is counted: it must not keep the others from being told.
  const of = (kind: NoticeKind): NotifiedDelivery[] =>
    shown
      .filter((each) => each.kind === kind)
      .map((each) => NotifiedDelivery.safeParse(deliveryOf(each)))
      .flatMap(({ data }) => data ?? []);
  return Notification.parse({
    kind: 'digest',
    ...about,
    counts,
    failed: of('failed'),
    recovered: of('recovered'),
    succeeded: of('succeeded'),
  });
}

function deliveryOf(delivery: NoticedDelivery): NotifiedDelivery {
  const { deliveryId, orderNumber, orderId, recipeIds, recipeCount, hasStopped } = delivery;
  return {
    deliveryId,
    order: orderNumber === null ? null : { orderNumber, orderId },
    recipeIds: [...recipeIds],
    recipeCount,
    failures: failuresOf(delivery),
    hasStopped,
  };
}

/** What ended a delivery is not always an attempt that failed: nobody may have been heard of again. */
function failuresOf({ attempts, end }: NoticedDelivery): Failure[] {
  if (end === null) return [...attempts];
  const isShown = attempts.some(({ code, message }) => code === end.code && message === end.message);
  return isShown ? [...attempts] : [...attempts, end];
}
