import type { DeliveryCode, Notification, NotifiedDelivery } from '@heddle/contracts';

import { mailText } from '../email/mail-text.js';
import type { Block, Entry, MailText } from '../email/mail-text.js';

/** Why an attempt failed, to somebody who has never seen a code. Complete by construction. */
const WORDS: Readonly<Record<DeliveryCode, string>> = {
  ACCESS_DENIED: 'the destination refuses our credentials or rights',
  ADDRESS_REFUSED: 'the address is private or not allowed',
  ALREADY_EXISTS: 'a file of that name is there already and must not be replaced',
  DEFERRED: 'some recipients were put off, the others have the mail',
  GONE: 'the destination says that it does not exist any more',
  HOST_KEY_MISMATCH: 'the server shows another key than the one that was agreed on',
  INVALID_SETTINGS: 'the settings of the integration cannot be used',
  NO_REPORT: 'nothing was heard of the attempt again',
  NOT_FOUND: 'a folder, a bucket, a container or a recipe is not there',
  REJECTED: 'the destination refuses the content for good',
  SOURCE_UNAVAILABLE: 'a file could not be fetched from its source',
  TARGET_FULL: 'the destination has no room left',
  THROTTLED: 'the destination asks for fewer requests',
  TIMEOUT: 'the destination did not answer in time',
  TOO_LARGE: 'a file is larger than what can be delivered',
  UNAVAILABLE: 'the destination could not be reached',
  UNKNOWN: 'something failed that we do not know yet',
};

const HEADLINES = {
  failed: 'could not be delivered',
  recovered: 'has been delivered after all',
  succeeded: 'has been delivered',
} as const;

type NotifiedIntegration = Notification['integration'];
/** Where a delivery is looked at. */
export type LinkOf = (deliveryId: string) => string;

/** The words of a mail to a notification list. Pure, and without any secret: it is made of what the tenant may read. */
export function notificationMail(notification: Notification, linkOf: LinkOf): MailText {
  const { integration } = notification;
  if (notification.kind === 'digest') return digest(notification, linkOf);
  const { kind, delivery } = notification;
  const what = subjectOf(delivery);
  const link = linkOf(delivery.deliveryId);
  return mailText(`${what} ${HEADLINES[kind]}: ${nameOf(integration)}`, [
    { kind: 'title', text: `${what} ${HEADLINES[kind]}.` },
    { kind: 'facts', rows: [...factsOf(integration), ...orderFactsOf(delivery)] },
    {
      kind: 'list',
      title: 'Recipes',
      entries: withMore(
        delivery.recipeIds.map((text) => ({ text })),
        delivery.recipeCount,
      ),
    },
    {
      kind: 'list',
      title: kind === 'failed' ? 'What was tried' : 'What had failed before',
      entries: delivery.failures.map((failure) => ({ text: failureText(failure) })),
    },
    ...(delivery.hasStopped ? [STOPPED] : []),
    ...(kind === 'failed' ? [NEXT_STEP] : []),
    { kind: 'list', title: 'The delivery', entries: [{ text: link, link }] },
  ]);
}

const STOPPED: Block = {
  kind: 'paragraph',
  text: 'The destination says that it is gone for good, so the integration was disabled: nothing more is sent to it.',
};

const NEXT_STEP: Block = {
  kind: 'paragraph',
  text: 'It is not tried again by itself. When the cause is mended, trigger the order again.',
};

function digest(
  { integration, counts, failed, recovered, succeeded }: Notification & { kind: 'digest' },
  linkOf: LinkOf,
): MailText {
  const summary = [
    [counts.failed, 'failed'] as const,
    [counts.recovered, 'recovered'] as const,
    [counts.succeeded, 'delivered'] as const,
  ]
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${String(count)} ${word}`)
    .join(', ');
  const listOf = (
    title: string,
    deliveries: readonly NotifiedDelivery[],
    count: number,
    remark: (delivery: NotifiedDelivery) => string = () => '',
  ): Block => {
    const entries = deliveries.map((delivery) => ({
      text: `${subjectOf(delivery)}${remark(delivery)}`,
      link: linkOf(delivery.deliveryId),
    }));
    return { kind: 'list', title, entries: withMore(entries, count) };
  };
  return mailText(`${summary}: ${nameOf(integration)}`, [
    { kind: 'title', text: `Several deliveries at once: ${summary}.` },
    { kind: 'facts', rows: factsOf(integration) },
    listOf('Not delivered', failed, counts.failed, lastFailureOf),
    ...(failed.some(({ hasStopped }) => hasStopped) ? [STOPPED] : []),
    ...(failed.length > 0 ? [NEXT_STEP] : []),
    listOf('Delivered after all', recovered, counts.recovered),
    listOf('Delivered', succeeded, counts.succeeded),
  ]);
}

function withMore(entries: readonly Entry[], count: number): readonly Entry[] {
  const more = count - entries.length;
  return more > 0 ? [...entries, { text: `and ${String(more)} more` }] : entries;
}

function lastFailureOf({ failures }: NotifiedDelivery): string {
  const last = failures.at(-1);
  return last === undefined ? '' : `: ${reasonOf(last)}`;
}

type FailedAttempt = NotifiedDelivery['failures'][number];

function failureText({ attempt, at, ...failure }: FailedAttempt): string {
  return `Attempt ${String(attempt)}, ${at}: ${reasonOf(failure)}`;
}

function reasonOf({ code, message }: Pick<FailedAttempt, 'code' | 'message'>): string {
  return message === '' ? WORDS[code] : `${WORDS[code]} (${message})`;
}

function subjectOf({ order, recipeIds }: NotifiedDelivery): string {
  return order === null ? `Recipe ${recipeIds[0] ?? ''}` : `Order ${order.orderNumber}`;
}

function nameOf({ description, destination }: NotifiedIntegration): string {
  return description.trim() === '' ? destination : description;
}

function factsOf({ description, destination }: NotifiedIntegration): [string, string][] {
  return [
    ...(description.trim() === '' ? [] : [['Integration', description] as [string, string]]),
    ['Destination', destination],
  ];
}

function orderFactsOf({ order }: NotifiedDelivery): [string, string][] {
  if (order === null) return [];
  const { orderNumber, orderId } = order;
  return [
    ['Order number', orderNumber],
    ...(orderId === null ? [] : [['Order id', orderId] as [string, string]]),
  ];
}
