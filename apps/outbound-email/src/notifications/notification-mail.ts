import type { DeliveryCode, DestinationKind } from '@heddle/contracts';

import { mailText } from '../email/mail-text.js';
import type { Block, Entry, MailText } from '../email/mail-text.js';

export interface NotifiedIntegration {
  readonly description: string;
  readonly destination: DestinationKind;
}

export interface FailedAttempt {
  readonly attempt: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly code: DeliveryCode;
  /** What was being done and where, in our words. */
  readonly message: string;
}

export interface NotifiedDelivery {
  /** Where it is looked at. */
  readonly link: string;
  /** Null for the recipe feed. */
  readonly order: { readonly orderNumber: string; readonly orderId: string | null } | null;
  readonly recipeIds: readonly string[];
  /** Attempts that failed, in their order; also those of a delivery that has recovered. */
  readonly failures: readonly FailedAttempt[];
}

/** What a mail to a notification list says. Source: wire/drive.md 3.5. */
export type Notification =
  | {
      readonly kind: 'failed' | 'succeeded' | 'recovered';
      readonly integration: NotifiedIntegration;
      readonly delivery: NotifiedDelivery;
    }
  | {
      /** A burst in one mail. */
      readonly kind: 'digest';
      readonly integration: NotifiedIntegration;
      readonly failed: readonly NotifiedDelivery[];
      readonly recovered: readonly NotifiedDelivery[];
      readonly succeeded: readonly NotifiedDelivery[];
    };

/** Most deliveries that a digest shows of each kind; it counts them all. */
export const MAX_SHOWN = 50;

/** Why an attempt failed, to somebody who has never seen a code. Complete by construction. */
const WORDS: Readonly<Record<DeliveryCode, string>> = {
  ACCESS_DENIED: 'the destination refuses our credentials or rights',
  ADDRESS_REFUSED: 'the address is private or not allowed',
  ALREADY_EXISTS: 'a file of that name is there already and must not be replaced',
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

/** The words of a mail to a notification list. Pure, and without any secret: it is made of what the tenant may read. */
export function notificationMail(notification: Notification): MailText {
  const { integration } = notification;
  if (notification.kind === 'digest') return digest(notification);
  const { kind, delivery } = notification;
  const what = subjectOf(delivery);
  return mailText(`${what} ${HEADLINES[kind]}: ${nameOf(integration)}`, [
    { kind: 'title', text: `${what} ${HEADLINES[kind]}.` },
    { kind: 'facts', rows: [...factsOf(integration), ...orderFactsOf(delivery)] },
    { kind: 'list', title: 'Recipes', entries: delivery.recipeIds.map((text) => ({ text })) },
    {
      kind: 'list',
      title: kind === 'failed' ? 'What was tried' : 'What had failed before',
      entries: delivery.failures.map((failure) => ({ text: failureText(failure) })),
    },
    ...(kind === 'failed' ? [NEXT_STEP] : []),
    { kind: 'list', title: 'The delivery', entries: [{ text: delivery.link, link: delivery.link }] },
  ]);
}

const NEXT_STEP: Block = {
  kind: 'paragraph',
  text: 'It is not tried again by itself. When the cause is mended, trigger the order again.',
};

function digest({ integration, failed, recovered, succeeded }: Notification & { kind: 'digest' }): MailText {
  const counts = [
    [failed.length, 'failed'],
    [recovered.length, 'recovered'],
    [succeeded.length, 'delivered'],
  ] as const;
  const summary = counts
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${String(count)} ${word}`)
    .join(', ');
  return mailText(`${summary}: ${nameOf(integration)}`, [
    { kind: 'title', text: `Several deliveries at once: ${summary}.` },
    { kind: 'facts', rows: factsOf(integration) },
    listOf('Not delivered', failed, lastFailureOf),
    ...(failed.length > 0 ? [NEXT_STEP] : []),
    listOf('Delivered after all', recovered, () => ''),
    listOf('Delivered', succeeded, () => ''),
  ]);
}

function listOf(
  title: string,
  deliveries: readonly NotifiedDelivery[],
  remark: (delivery: NotifiedDelivery) => string,
): Block {
  const entries: Entry[] = deliveries
    .slice(0, MAX_SHOWN)
    .map((delivery) => ({ text: `${subjectOf(delivery)}${remark(delivery)}`, link: delivery.link }));
  const more = deliveries.length - entries.length;
  return {
    kind: 'list',
    title,
    entries: more > 0 ? [...entries, { text: `and ${String(more)} more` }] : entries,
  };
}

function lastFailureOf({ failures }: NotifiedDelivery): string {
  const last = failures.at(-1);
  return last === undefined ? '' : `: ${WORDS[last.code]} (${last.message})`;
}

function failureText({ attempt, at, code, message }: FailedAttempt): string {
  return `Attempt ${String(attempt)}, ${at}: ${WORDS[code]} (${message})`;
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
