import { Readable } from 'node:stream';

import { Notification, addressesOf } from '@heddle/contracts';
import type { EmailSettings, Receipt } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, DeliveryFile, Destination } from '@heddle/destination-kit';

import type { Mailbox } from '../config.js';
import { notificationMail } from '../notifications/notification-mail.js';

import { deliveryMail } from './delivery-mail.js';
import type { MailedFile } from './delivery-mail.js';
import { messageOf } from './message.js';
import type { Message } from './message.js';
import type { RefusedRecipient, SmtpClient } from './smtp.client.js';
import { toDestinationError } from './smtp.error.js';

type EmailDelivery = Delivery<EmailSettings>;

const PLACE = 'delivering the mail';

/**
 * Sends the whole file set as one mail to all recipients, or nothing.
 *
 * The mail of a delivery has the same `Message-ID` on every attempt: an attempt whose end nobody saw may have reached
 * the mailbox, and there the next one is the same mail.
 */
export class EmailDestination implements Destination<EmailSettings> {
  readonly kind = 'email';

  constructor(
    private readonly client: SmtpClient,
    private readonly options: {
      readonly from: Mailbox;
      readonly maxBytes: number;
      /** Of the hub, without a slash at its end. */
      readonly publicUrl: string;
    },
  ) {}

  async *deliver(delivery: EmailDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    const files = await this.fetched(delivery);
    if (files.length < delivery.offered.length) return;
    if (delivery.offered.some(({ kind }) => kind === 'notification')) {
      yield* this.notify(delivery, files, context);
      return;
    }

    const attached = new Set(this.fitting(files));
    const mailed: MailedFile[] = [];
    for (const file of files) {
      const { name, sizeBytes } = file;
      const isAttached = attached.has(file);
      mailed.push({ name, sizeBytes, link: isAttached ? undefined : await delivery.linkTo(name) });
    }
    const to = recipientsOf(delivery.settings);
    const { from } = this.options;
    const message = messageOf({
      messageId: this.idOf(delivery.deliveryId),
      thread: delivery.order === undefined ? undefined : this.idOf(delivery.order.orderUid),
      from,
      to,
      text: deliveryMail(delivery, mailed),
      files: [...attached],
    });
    const refused = await this.send(message, to, context);

    const reached = to.filter((address) => !refused.some((recipient) => recipient.address === address));
    for (const file of files) {
      const sentAs = attached.has(file) ? 'attachment' : 'link';
      yield this.receiptOf(file, sentAs, { delivery, reached, refused });
    }
  }

  /** The one file is what the mail says, so nothing is attached. */
  private async *notify(
    delivery: EmailDelivery,
    files: readonly DeliveryFile[],
    context: DeliveryContext,
  ): AsyncGenerator<Receipt, void> {
    for (const file of files) {
      const notification = await notificationOf(file);
      const to = recipientsOf(delivery.settings);
      const message = messageOf({
        messageId: this.idOf(delivery.deliveryId),
        thread: undefined,
        from: this.options.from,
        to,
        text: notificationMail(
          notification,
          (deliveryId) => `${this.options.publicUrl}/api/v2/deliveries/${deliveryId}`,
        ),
        files: [],
      });
      const refused = await this.send(message, to, context);
      const reached = to.filter((address) => !refused.some((recipient) => recipient.address === address));
      yield this.receiptOf(file, 'body', { delivery, reached, refused });
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /** Every file that could be fetched, in the order of the set. What no mail takes gives its room back at once. */
  private async fetched({ files, offered }: EmailDelivery): Promise<readonly DeliveryFile[]> {
    const byName = new Map<string, DeliveryFile>();
    for await (const file of files) {
      byName.set(file.name, file);
      if (file.sizeBytes > this.options.maxBytes) await file.release?.();
    }
    return offered.flatMap(({ name }) => byName.get(name) ?? []);
  }

  /** In the order of the set, each file that still fits: the same on every attempt. */
  private fitting(files: readonly DeliveryFile[]): readonly DeliveryFile[] {
    let left = this.options.maxBytes;
    return files.filter(({ sizeBytes }) => {
      if (sizeBytes > left) return false;
      left -= sizeBytes;
      return true;
    });
  }

  private async send(
    message: Message,
    to: readonly string[],
    context: DeliveryContext,
  ): Promise<readonly RefusedRecipient[]> {
    let failure: unknown;
    // What makes a mail of it is its end, so that is what the lease is for.
    async function* whole(): AsyncGenerator<Uint8Array, void> {
      try {
        for await (const chunk of message.open()) yield chunk as Uint8Array;
        context.assertLeased();
      } catch (error) {
        failure = error;
        // Not the error itself: the connection would write into it.
        throw new Error('the message has ended early');
      }
    }
    const { signal } = context;
    const { sizeBytes } = message;
    const open = (): Readable => Readable.from(whole(), { objectMode: false });
    try {
      const sent = await this.client.send({ from: this.options.from.address, to, sizeBytes, open }, signal);
      return sent.refused;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw toDestinationError(isStreamFault(error) ? (failure ?? error) : error, PLACE);
    }
  }

  private receiptOf(
    file: DeliveryFile,
    sentAs: 'attachment' | 'link' | 'body',
    {
      delivery,
      reached,
      refused,
    }: {
      readonly delivery: EmailDelivery;
      readonly reached: readonly string[];
      readonly refused: readonly RefusedRecipient[];
    },
  ): Receipt {
    return {
      name: file.name,
      location: `mailto:${reached.join(',')}`,
      sizeBytes: sentAs === 'link' ? null : file.sizeBytes,
      sha256: sentAs === 'link' ? null : file.sha256,
      details: {
        messageId: this.idOf(delivery.deliveryId),
        sentAs,
        ...Object.fromEntries(
          refused.map(({ address, replyCode }) => [`refused ${address}`, wordsOf(replyCode)]),
        ),
      },
    };
  }

  /** In the name of the sender's domain, which is ours to name things in. */
  private idOf(uuid: string): string {
    return `<${uuid}@${this.options.from.address.split('@').at(-1) ?? ''}>`;
  }
}

async function notificationOf(file: DeliveryFile): Promise<Notification> {
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of file.open()) chunks.push(chunk);
    return Notification.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch (cause) {
    throw new DestinationError('UNKNOWN', 'reading the notification', { cause });
  }
}

/** The message broke off by itself, and not because its connection did. */
function isStreamFault(error: unknown): boolean {
  return Error.isError(error) && 'code' in error && error.code === 'ESTREAM';
}

/** Each once: two spellings of one domain are one mailbox. */
function recipientsOf({ to }: EmailSettings): readonly string[] {
  return [...new Map(addressesOf(to).map((address) => [address.toLowerCase(), address])).values()];
}

function wordsOf(replyCode: number): string {
  return `${replyCode >= 500 ? 'for good' : 'for now'}, the mail server answered ${String(replyCode)}`;
}
