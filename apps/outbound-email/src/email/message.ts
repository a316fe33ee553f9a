import { Readable } from 'node:stream';

import type { DeliveryFile } from '@heddle/destination-kit';
import MailComposer from 'nodemailer/lib/mail-composer';

import type { Mailbox } from '../config.js';

import type { MailText } from './mail-text.js';

export interface MessageParts {
  /** With its angle brackets. */
  readonly messageId: string;
  /** What mails of one order have in common, so that clients show them together. */
  readonly thread: string | undefined;
  readonly from: Mailbox;
  readonly to: readonly string[];
  readonly text: MailText;
  readonly files: readonly DeliveryFile[];
}

export interface Message {
  /** Nearly; never less than it is. */
  readonly sizeBytes: number;
  /** As often as it is sent. */
  open(): Readable;
}

/** Bytes of one line of base64, and what they become with the end of the line. Source: RFC 2045, 6.8. */
const LINE_BYTES = 57;
const LINE_CHARACTERS = 78;
const HEADERS_BYTES = 4_096;
const FILE_HEADERS_BYTES = 1_024;
/** Of an encoded word: a byte becomes three characters, and every few of them have a frame of their own. Source: RFC 2047. */
const SUBJECT_FACTOR = 5;
/** What the ends of lines add to quoted-printable: three characters in 76. Source: RFC 2045, 6.7. */
const SOFT_BREAKS_FACTOR = 1.05;

/** Bytes of so many files that have room in what a mail has left, whatever their sizes. */
export function attachableBytes(leftBytes: number, files: number): number {
  const lines = Math.floor((leftBytes - files * FILE_HEADERS_BYTES) / LINE_CHARACTERS) - files;
  return Math.max(0, lines * LINE_BYTES);
}

const MIME_TYPE = /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}$/;

/** The mail in the form of the internet; files stream through. */
export function messageOf({ messageId, thread, from, to, text, files }: MessageParts): Message {
  const open = (): Readable =>
    new MailComposer({
      messageId,
      ...(thread !== undefined && { references: thread }),
      from,
      to: [...to],
      subject: text.subject,
      text: text.text,
      html: text.html,
      // Nobody's holiday answers it. Source: RFC 3834.
      headers: { 'Auto-Submitted': 'auto-generated' },
      attachments: files.map((file) => ({
        filename: file.name,
        contentType: MIME_TYPE.test(file.mimeType) ? file.mimeType : 'application/octet-stream',
        // Also texts: 7bit would change the ends of their lines.
        contentTransferEncoding: 'base64',
        content: Readable.from(file.open(), { objectMode: false }),
      })),
      disableFileAccess: true,
      disableUrlAccess: true,
    })
      .compile()
      .createReadStream();
  const sizeOfFiles = files.reduce(
    (sum, { sizeBytes }) => sum + FILE_HEADERS_BYTES + Math.ceil(sizeBytes / LINE_BYTES) * LINE_CHARACTERS,
    0,
  );
  const sizeOfHeaders =
    HEADERS_BYTES + 2 * Buffer.byteLength(to.join(', ')) + SUBJECT_FACTOR * Buffer.byteLength(text.subject);
  const sizeOfText = quotedPrintableBytes(text.text) + quotedPrintableBytes(text.html);
  return { sizeBytes: sizeOfHeaders + sizeOfText + sizeOfFiles, open };
}

function quotedPrintableBytes(text: string): number {
  let characters = 0;
  for (const byte of Buffer.from(text)) {
    const isItself = byte >= 0x20 && byte < 0x7f && byte !== EQUALS_SIGN;
    characters += isItself ? 1 : 3;
  }
  return Math.ceil(characters * SOFT_BREAKS_FACTOR);
}

const EQUALS_SIGN = 0x3d;
