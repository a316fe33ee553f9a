import { Readable } from 'node:stream';

import { Notification, addressesOf } from '@heddle/contracts';
import type { DeliveryNotes, EmailSettings, Receipt } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type {
  CollectedFile,
  Delivery,
  DeliveryContext,
  DeliveryFile,
  Destination,
} from '@heddle/destination-kit';

import type { Mailbox } from '../config.js';
import { notificationMail } from '../notifications/notification-mail.js';

import { deliveryMail } from './delivery-mail.js';
import { attachableBytes, messageOf } from './message.js';
import type { Message } from './message.js';
import type { SmtpClient } from './smtp.client.js';
import { allRefusedBy, toDestinationError } from './smtp.error.js';
import type { RefusedRecipient } from './smtp.error.js';

type EmailDelivery = Delivery<EmailSettings>;

const PLACE = 'delivering the mail';
/** More than any notification has: it travels inside an offer. */
const NOTIFICATION_BYTES = 1_000_000;
/** As long in words as any size. */
const LONGEST_SIZE = 999_900_000_000;

/**
 * Sends the whole file set as one mail to all recipients, or nothing.
 *
 * The mail of a delivery has the same `Message-ID` on every attempt: an attempt whose end nobody saw may have reached
 * the mailbox, and there the next one is the same mail.
 */
export class EmailDestination implements Destination<EmailSettings> {
  readonly kind = 'email';
  readonly collects = true;

  constructor(
    private readonly client: SmtpClient,
    private readonly options: {
      readonly from: Mailbox;
      /** Of a mail as it is sent. */
      readonly maxBytes: number;
      /** Of the hub, without a slash at its end. */
      readonly publicUrl: string;
    },
  ) {}

  async *deliver(delivery: EmailDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    if (delivery.offered.some(({ kind }) => kind === 'notification')) {
      yield* this.notify(delivery, context);
      return;
    }
    const { offered } = delivery;
    const before = reachedBefore(delivery);
    if (recipientsOf(delivery.settings).every((address) => before.includes(address))) {
      const files = offered.map(({ name }) => ({ name, file: undefined, sentAs: 'earlier delivery' }));
      yield* this.receiptsOf(files, { delivery, reached: before, refused: [], before });
      return;
    }
    const links = new Map<string, string>();
    for (const { name } of offered) links.set(name, await delivery.linkTo(name));
    const maxBytes = await this.maxBytes(context);
    const collected = await delivery.collect(this.roomOf(delivery, links, maxBytes));
    if (collected.length < offered.length) return;

    const { attached, ...sent } = await this.sendSet({ delivery, links, collected, maxBytes }, context);
    const files = collected.map(({ name }) => ({ name, file: attached.get(name) }));
    yield* this.receiptsOf(files, { delivery, ...sent });
  }

  /** The one file is what the mail says, so nothing is attached. */
  private async *notify(delivery: EmailDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    const collected = await delivery.collect(NOTIFICATION_BYTES);
    for (const { file } of collected) {
      if (!file) throw new DestinationError('TOO_LARGE', 'reading the notification');
      const notification = await notificationOf(file);
      const message = messageOf({
        messageId: this.idOf(delivery.deliveryId),
        thread: undefined,
        from: this.options.from,
        to: recipientsOf(delivery.settings),
        text: notificationMail(
          notification,
          (deliveryId) => `${this.options.publicUrl}/api/v2/deliveries/${deliveryId}`,
        ),
        files: [],
      });
      const sent = await this.sendToAll(delivery, message, context);
      yield* this.receiptsOf([{ name: file.name, file, sentAs: 'body' }], { delivery, ...sent });
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  private async sendSet(
    { delivery, links, collected, maxBytes }: SetToSend,
    context: DeliveryContext,
  ): Promise<Sent & { readonly attached: Attached }> {
    const attached = fitting(collected, this.roomOf(delivery, links, maxBytes));
    const message = this.messageOf(delivery, links, { collected, attached });
    try {
      return { attached, ...(await this.sendToAll(delivery, message, context)) };
    } catch (error) {
      if (!(error instanceof DestinationError) || error.code !== 'TOO_LARGE') throw error;
      // The server takes less than it did when the set was collected: then more of it is linked.
      const newMaxBytes = await this.maxBytes(context);
      if (newMaxBytes >= maxBytes) throw error;
      return await this.sendSet({ delivery, links, collected, maxBytes: newMaxBytes }, context);
    }
  }

  private async maxBytes({ signal }: DeliveryContext): Promise<number> {
    try {
      return Math.min(this.options.maxBytes, await this.client.maxMailBytes(signal));
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw toDestinationError(error, PLACE);
    }
  }

  /** Bytes of files for which a mail of so many bytes has room, were each of them to be linked as well. */
  private roomOf(delivery: EmailDelivery, links: ReadonlyMap<string, string>, maxBytes: number): number {
    const collected = delivery.offered.map(({ name }) => ({
      name,
      sizeBytes: LONGEST_SIZE,
      file: undefined,
    }));
    const { sizeBytes } = this.messageOf(delivery, links, { collected, attached: new Map() });
    return attachableBytes(maxBytes - sizeBytes, collected.length);
  }

  private messageOf(
    delivery: EmailDelivery,
    links: ReadonlyMap<string, string>,
    set: { readonly collected: readonly CollectedFile[]; readonly attached: Attached },
  ): Message {
    const mailed = set.collected.map(({ name, sizeBytes }) => ({
      name,
      sizeBytes,
      link: set.attached.has(name) ? undefined : links.get(name),
    }));
    return messageOf({
      messageId: this.idOf(delivery.deliveryId),
      thread: delivery.order === undefined ? undefined : this.idOf(delivery.order.orderUid),
      from: this.options.from,
      to: recipientsOf(delivery.settings),
      text: deliveryMail(delivery, mailed),
      files: [...set.attached.values()],
    });
  }

  /**
   * Sends the mail to whom no earlier attempt has settled. Who is put off is tried again, alone: the others have the
   * mail, or are refused for good. Before the attempt fails that is noted, which also shows it to whoever looks why.
   *
   * @returns what has become of each recipient, on whichever attempt.
   */
  private async sendToAll(
    delivery: EmailDelivery,
    message: Message,
    context: DeliveryContext,
  ): Promise<Sent> {
    const to = recipientsOf(delivery.settings);
    const before = reachedBefore(delivery);
    const replies = new Map([
      ...before.map((address) => [mailboxOf(address), TAKEN] as const),
      ...repliesOf(delivery.notes),
    ]);
    const replyTo = (address: string): number => replies.get(mailboxOf(address)) ?? 0;
    const isTaken = (address: string): boolean => replyTo(address) === TAKEN;
    const isSettled = (address: string): boolean => isTaken(address) || replyTo(address) >= 500;

    const open = to.filter((address) => !isSettled(address));
    const { refused, failure } =
      open.length === 0 ? { refused: [], failure: undefined } : await this.sendTo(open, message, context);
    for (const address of open) replies.set(mailboxOf(address), TAKEN);
    for (const { address, replyCode } of refused) replies.set(mailboxOf(address), replyCode);

    const putOff = to.filter((address) => !isSettled(address));
    const hasReached = to.some(isTaken);
    const settled = to.filter(isSettled).map((address) => [address, String(replyTo(address))]);
    const notes = Object.fromEntries(settled) as DeliveryNotes;
    if (putOff.length > 0 || !hasReached) {
      if (settled.length > 0) await context.note(notes);
      // That all others are refused is a failure of the mail only where nobody has it.
      throw hasReached ? deferred(to, putOff) : (failure ?? refusedByAll());
    }
    context.noteAtEnd(notes);
    return {
      before,
      reached: to.filter(isTaken),
      refused: to.flatMap((address) => (isTaken(address) ? [] : { address, replyCode: replyTo(address) })),
    };
  }

  /** @returns who was refused; where that is everybody, also what it makes of the mail. */
  private async sendTo(open: readonly string[], message: Message, context: DeliveryContext): Promise<Answer> {
    try {
      return { refused: await this.send(message, open, context), failure: undefined };
    } catch (failure) {
      if (!(failure instanceof DestinationError)) throw failure;
      const refused = allRefusedBy(failure.cause);
      if (refused.length === 0) throw failure;
      return { refused, failure };
    }
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
      const { refused } = await this.client.send(
        { from: this.options.from.address, to, sizeBytes, open },
        signal,
      );
      return refused;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw toDestinationError(isStreamFault(error) ? (failure ?? error) : error, PLACE);
    }
  }

  /** The first one names all recipients, the others count them: in each, many of both would be more than Kafka takes. */
  private *receiptsOf(
    files: readonly SentFile[],
    { delivery, ...sent }: Sent & { readonly delivery: EmailDelivery },
  ): Generator<Receipt, void> {
    const messageId = this.idOf(delivery.deliveryId);
    let recipients = named(sent);
    for (const { name, file, sentAs = file === undefined ? 'link' : 'attachment' } of files) {
      yield {
        name,
        location: recipients.location,
        sizeBytes: file?.sizeBytes ?? null,
        sha256: file?.sha256 ?? null,
        details: { messageId, sentAs, ...recipients.details },
      };
      if (name === files[0]?.name) recipients = counted(sent, name);
    }
  }

  /** In the name of the sender's domain, which is ours to name things in. */
  private idOf(uuid: string): string {
    return `<${uuid}@${this.options.from.address.split('@').at(-1) ?? ''}>`;
  }
}

/** Reply that a recipient of a mail was accepted with. Source: RFC 5321, 4.2.3. */
const TAKEN = 250;

/** Recipients are named by their place in the list: a log is no place for an address. */
function deferred(to: readonly string[], putOff: readonly string[]): DestinationError {
  const places = putOff.map((address) => to.indexOf(address) + 1).join(', ');
  return new DestinationError(
    'DEFERRED',
    `${PLACE}: the mail server puts off recipient ${places} of ${String(to.length)}; no other is sent the mail again`,
  );
}

/** Known from earlier attempts: nobody is left to send the mail to. */
function refusedByAll(): DestinationError {
  return new DestinationError('REJECTED', `${PLACE}: the mail server refuses every recipient for good`);
}

interface Answer {
  readonly refused: readonly RefusedRecipient[];
  readonly failure: DestinationError | undefined;
}

interface Sent {
  /** Those before included. */
  readonly reached: readonly string[];
  readonly before: readonly string[];
  readonly refused: readonly RefusedRecipient[];
}

interface SentFile {
  readonly name: string;
  /** Undefined where a link was sent, or nothing. */
  readonly file: DeliveryFile | undefined;
  readonly sentAs?: string;
}

interface SetToSend {
  readonly delivery: EmailDelivery;
  readonly links: ReadonlyMap<string, string>;
  readonly collected: readonly CollectedFile[];
  readonly maxBytes: number;
}

/** By name, in the order of the set. */
type Attached = ReadonlyMap<string, DeliveryFile>;

/** In the order of the set, each file that still fits: the same on every attempt. */
function fitting(collected: readonly CollectedFile[], roomBytes: number): Attached {
  let left = roomBytes;
  const attached = new Map<string, DeliveryFile>();
  for (const { name, file } of collected) {
    if (!file || file.sizeBytes > left) continue;
    left -= file.sizeBytes;
    attached.set(name, file);
  }
  return attached;
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

/**
 * Recipients who have these files from an earlier delivery, where only what is missing is asked for. Who was refused
 * for good is asked again: whoever triggers may have mended that.
 */
function reachedBefore({ settings, earlierNotes = {} }: EmailDelivery): readonly string[] {
  const replies = repliesOf(earlierNotes);
  return recipientsOf(settings).filter((address) => replies.get(mailboxOf(address)) === TAKEN);
}

/** By mailbox: the list may have spelled an address otherwise then. Whoever has the mail by one spelling has it. */
function repliesOf(notes: DeliveryNotes): ReadonlyMap<string, number> {
  const replies = new Map<string, number>();
  for (const [address, reply] of Object.entries(notes)) {
    const mailbox = mailboxOf(address);
    if (replies.get(mailbox) !== TAKEN) replies.set(mailbox, Number(reply));
  }
  return replies;
}

/** Each once. */
function recipientsOf({ to }: EmailSettings): readonly string[] {
  return [...new Map(addressesOf(to).map((address) => [mailboxOf(address), address])).values()];
}

/**
 * Addresses that differ in case alone are taken for one mailbox, in front of the `@` too: a mail server may tell these
 * apart (RFC 5321, 2.4), and next to none does.
 */
function mailboxOf(address: string): string {
  return address.toLowerCase();
}

/** What a receipt says of the recipients. */
type Recipients = Pick<Receipt, 'location' | 'details'>;

function named({ reached, refused, before }: Sent): Recipients {
  return {
    location: `mailto:${reached.join(',')}`,
    details: {
      ...Object.fromEntries(
        refused.map(({ address, replyCode }) => [`refused ${address}`, wordsOf(replyCode)]),
      ),
      ...Object.fromEntries(before.map((address) => [`had ${address}`, 'from an earlier delivery'])),
    },
  };
}

/** @param first name of the file whose receipt names them. */
function counted(sent: Sent, first: string): Recipients {
  const { reached, refused } = sent;
  if (reached.length + refused.length === 1) return named(sent);
  const counts = [
    `${String(reached.length)} accepted`,
    ...(refused.length > 0 ? [`${String(refused.length)} refused`] : []),
  ];
  return {
    location: `mailto:${reached[0] ?? ''}`,
    details: { recipients: `${counts.join(', ')}: the receipt of ${first} names them` },
  };
}

function wordsOf(replyCode: number): string {
  return `${replyCode >= 500 ? 'for good' : 'for now'}, the mail server answered ${String(replyCode)}`;
}
