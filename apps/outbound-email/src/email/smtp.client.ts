import type { Readable } from 'node:stream';

import type { RefusedRecipient } from './smtp.error.js';

/** One mail on its way to the server. */
export interface OutgoingMail {
  readonly from: string;
  readonly to: readonly string[];
  /** About the size of the whole message, so that a server can refuse it before it is sent. */
  readonly sizeBytes: number;
  /** Opens the message from its start. An error of the stream keeps the mail from going out. */
  open(): Readable;
}

export interface SentMail {
  /** The others have the mail. */
  readonly refused: readonly RefusedRecipient[];
}

/** What the worker needs of a mail server. Errors are untranslated. */
export interface SmtpClient {
  /**
   * Largest mail that the server takes, as it has last said; connects where nobody has asked it yet. Infinity: it has
   * named no limit. Source: RFC 1870.
   */
  maxMailBytes(signal: AbortSignal): Promise<number>;
  /** Sends one mail whole, or not at all where it rejects before the server could answer. */
  send(mail: OutgoingMail, signal: AbortSignal): Promise<SentMail>;
  close(): Promise<void>;
}

export const SMTP_FAULTS = ['SMTP_CLOSED', 'SMTP_SILENT'] as const;

/** What goes wrong around a connection and has no code of the vendor. */
export class SmtpFault extends Error {
  override readonly name = 'SmtpFault';

  constructor(
    readonly code: (typeof SMTP_FAULTS)[number],
    options?: ErrorOptions,
  ) {
    super(code, options);
  }
}
