import type { EmailSettings, Trigger } from '@heddle/contracts';
import type { Delivery } from '@heddle/destination-kit';

import { mailText, sizeText } from './mail-text.js';
import type { MailText } from './mail-text.js';

export interface MailedFile {
  readonly name: string;
  /** Undefined where nobody has said it. */
  readonly sizeBytes: number | undefined;
  /** Where it is fetched from instead of being attached. */
  readonly link: string | undefined;
}

export type MailedDelivery = Pick<
  Delivery<EmailSettings>,
  'settings' | 'trigger' | 'order' | 'recipeIds' | 'missingRecipeIds' | 'channel'
>;

/** What happened, as subjects say it. Source: wire/drive.md 3.4. */
const HAPPENED: Readonly<Record<Trigger, string>> = {
  'recipe.created': 'created',
  'order.submitted': 'submitted',
  'order.updated': 'updated',
  'order.cancelled': 'cancelled',
};

/** The words of the mail that carries a file set. */
export function deliveryMail(delivery: MailedDelivery, files: readonly MailedFile[]): MailText {
  const { settings, trigger, order, recipeIds, missingRecipeIds = [], channel } = delivery;
  const what = order ? `Order ${order.orderNumber}` : `Recipe ${recipeIds[0] ?? ''}`;
  const subject = order ? `${what} ${HAPPENED[trigger]}` : what;
  const entryOf = ({ name, sizeBytes, link }: MailedFile): { text: string; link: string | undefined } => ({
    text: sizeBytes === undefined ? name : `${name} (${sizeText(sizeBytes)})`,
    link,
  });
  return mailText(`${settings['subject-prefix'].trim()} ${subject}`, [
    { kind: 'title', text: `${what} was ${HAPPENED[trigger]}.` },
    {
      kind: 'facts',
      rows: [
        ...(order ? [['Order number', order.orderNumber] as const] : []),
        ...(order && order.orderId !== null ? [['Order id', order.orderId] as const] : []),
        ['Shop', channel],
      ],
    },
    {
      kind: 'list',
      title: 'Items',
      entries: (order?.items ?? []).map(({ itemId, recipeId, itemQuantity }) => ({
        text: `${String(itemQuantity)} x item ${itemId}, recipe ${recipeId}`,
      })),
    },
    {
      kind: 'list',
      title: 'Recipes',
      entries: recipeIds.filter((id) => !missingRecipeIds.includes(id)).map((text) => ({ text })),
    },
    {
      kind: 'list',
      title: 'Recipes that have not come, without whose files this mail is sent',
      entries: missingRecipeIds.map((text) => ({ text })),
    },
    {
      kind: 'list',
      title: 'Attached files',
      entries: files.filter(({ link }) => link === undefined).map(entryOf),
    },
    {
      kind: 'list',
      title: 'Files that are too large for this mail, behind links that are good for 7 days',
      entries: files.filter(({ link }) => link !== undefined).map(entryOf),
    },
  ]);
}
