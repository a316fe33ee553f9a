import { workerConfig } from '@heddle/destination-worker';
import { z } from 'zod';

/** The mail server and how to log in to it. */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte; otherwise by STARTTLS. */
  readonly secure: boolean;
  readonly login: { readonly user: string; readonly password: string } | undefined;
}

export interface Mailbox {
  readonly name: string;
  readonly address: string;
}

const SmtpUrl = z.url({ protocol: /^smtps?$/ }).transform((text, context): SmtpServer => {
  const url = new URL(text);
  const secure = url.protocol === 'smtps:';
  try {
    const user = decodeURIComponent(url.username);
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      // Source: RFC 8314, section 3.3: 465 with TLS from the start, 587 for submission.
      port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
      secure,
      login: user === '' ? undefined : { user, password: decodeURIComponent(url.password) },
    };
  } catch {
    context.addIssue({ code: 'custom', message: 'user name and password must be percent-encoded' });
    return z.NEVER;
  }
});

const MailboxSetting = z.string().transform((text, context): Mailbox => {
  const [, name = '', inside] = /^([^<>"\p{Cc}]*)<([^<>]+)>$/u.exec(text.trim()) ?? [];
  const address = z.email().safeParse((inside ?? text).trim());
  if (address.success) return { name: name.trim(), address: address.data };
  context.addIssue({ code: 'custom', message: 'must be address@host or Name <address@host>' });
  return z.NEVER;
});

export const Config = z.object({
  ...workerConfig,
  ATTEMPT_TIMEOUT_MS: workerConfig.ATTEMPT_TIMEOUT_MS.default(900_000).describe(
    'Longest time of one attempt; longer than SMTP_ANSWER_TIMEOUT_MS.',
  ),
  SMTP_ANSWER_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(3_600_000)
    // Source: RFC 5321, 4.5.3.2.6.
    .default(600_000)
    .describe(
      'Longest wait for the answer to a whole mail, which servers look into first; for all else SILENCE_TIMEOUT_MS counts.',
    ),
  SMTP_URL: SmtpUrl.describe(
    'Mail server, smtp://user:password@host:port, or smtps:// for TLS from the start. A private one has to be in OUTBOUND_ALLOWED_ADDRESSES.',
  ),
  SMTP_REQUIRE_TLS: z
    .stringbool()
    .optional()
    .describe('Sends nothing before STARTTLS. Where it is not set: true if SMTP_URL holds a password.'),
  SMTP_CONNECTIONS: z.coerce.number().int().min(1).max(100).default(5).describe('Most connections at once.'),
  SMTP_MAILS_PER_CONNECTION: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe('Mails over one connection before another one is opened.'),
  SMTP_RATE_PER_SECOND: z.coerce
    .number()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Most mails per second of one process; 0: no limit.'),
  MAIL_FROM: MailboxSetting.describe('Sender of every mail: address@host or Name <address@host>.'),
  MAIL_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(0)
    .max(100_000_000)
    .default(25_000_000)
    .describe(
      'Most bytes of one mail as it is sent, encoded; what does not fit is linked. Less where the mail server says so.',
    ),
});
export type Config = z.infer<typeof Config>;
