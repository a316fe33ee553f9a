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
  // Quoted-printable makes three characters of a byte.
  const sizeOfText = 3 * (Buffer.byteLength(text.text) + Buffer.byteLength(text.html));
  return { sizeBytes: HEADERS_BYTES + sizeOfText + sizeOfFiles, open };
}
