import { DestinationError } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

/**
 * Every failure of a mail server and of the connection below it that we know. A `Map`, not an object: a vendor code
 * named `constructor` must not match.
 *
 * Numbers are replies. Sources: RFC 5321, 4.2.3; RFC 4954, section 6 (logins); RFC 7504 (521, 556). Words are codes of
 * nodemailer, of Node and our own.
 */
const CODES: ReadonlyMap<string | number, DestinationErrorCode> = new Map<
  string | number,
  DestinationErrorCode
>([
  [421, 'UNAVAILABLE'],
  [432, 'ACCESS_DENIED'],
  [450, 'UNAVAILABLE'],
  [451, 'UNAVAILABLE'],
  [452, 'TARGET_FULL'],
  [454, 'UNAVAILABLE'],
  [455, 'UNAVAILABLE'],
  [500, 'REJECTED'],
  [501, 'REJECTED'],
  [502, 'REJECTED'],
  [503, 'REJECTED'],
  [504, 'REJECTED'],
  [521, 'REJECTED'],
  [523, 'TOO_LARGE'],
  [530, 'ACCESS_DENIED'],
  [534, 'ACCESS_DENIED'],
  [535, 'ACCESS_DENIED'],
  [538, 'ACCESS_DENIED'],
  [550, 'REJECTED'],
  [551, 'REJECTED'],
  [552, 'TOO_LARGE'],
  [553, 'REJECTED'],
  [554, 'REJECTED'],
  [555, 'REJECTED'],
  [556, 'REJECTED'],
  ['EAUTH', 'ACCESS_DENIED'],
  ['ENOAUTH', 'ACCESS_DENIED'],
  ['ECONNECTION', 'UNAVAILABLE'],
  ['ECONNREFUSED', 'UNAVAILABLE'],
  ['ECONNRESET', 'UNAVAILABLE'],
  ['EDNS', 'UNAVAILABLE'],
  ['EHOSTUNREACH', 'UNAVAILABLE'],
  ['EMESSAGE', 'REJECTED'],
  ['ENETUNREACH', 'UNAVAILABLE'],
  ['ENOTFOUND', 'UNAVAILABLE'],
  ['EPIPE', 'UNAVAILABLE'],
  ['EPROTOCOL', 'UNAVAILABLE'],
  ['ESOCKET', 'UNAVAILABLE'],
  ['ETIMEDOUT', 'TIMEOUT'],
  ['ETLS', 'UNAVAILABLE'],
  ['SMTP_CLOSED', 'UNAVAILABLE'],
  ['SMTP_SILENT', 'TIMEOUT'],
]);

/** What a reply means more closely by its enhanced code, whatever its class. Source: RFC 3463, section 3. */
const ENHANCED: ReadonlyMap<string, DestinationErrorCode> = new Map([
  ['2.2', 'TARGET_FULL'],
  ['3.1', 'TARGET_FULL'],
  ['3.4', 'TOO_LARGE'],
]);

/** Commands whose refusal is about us and not about this mail: somebody may mend our account. */
const OURS: ReadonlySet<string> = new Set(['CONN', 'EHLO', 'HELO', 'STARTTLS', 'MAIL FROM']);

/**
 * Total: any value gives a `DestinationError`. What the table does not know is `UNKNOWN`, which is retried, counted and
 * alerts, so that the table gains a row.
 *
 * @param place what was being done, in the present participle, without secrets.
 */
export function toDestinationError(error: unknown, place: string): DestinationError {
  if (error instanceof DestinationError) return error;
  const code = codeOf(error);
  const why = REASONS[code];
  return new DestinationError(code, why === undefined ? place : `${place}: ${why}`, { cause: error });
}

/** One recipient that the server has refused. */
export interface RefusedRecipient {
  readonly address: string;
  /** Reply of the server. Source: RFC 5321, 4.2.1: 4yz for now, 5yz for good. */
  readonly replyCode: number;
}

export function refusalsOf(errors: unknown): readonly RefusedRecipient[] {
  if (!Array.isArray(errors)) return [];
  return errors
    .filter((error) => Error.isError(error))
    .map((error) => ({
      address: 'recipient' in error && typeof error.recipient === 'string' ? error.recipient : '',
      replyCode: replyCodeOf(error) ?? 0,
    }));
}

/** Each of the recipients, where all of them were refused and nothing was sent. */
export function allRefusedBy(error: unknown): readonly RefusedRecipient[] {
  return refusalsOf(Error.isError(error) ? (error as Refusal).rejectedErrors : undefined);
}

const REASONS: Readonly<Partial<Record<DestinationErrorCode, string>>> = {
  ACCESS_DENIED: 'the mail server refuses our login or our sender address',
  REJECTED: 'the mail server refuses the mail for good',
  TARGET_FULL: 'the mail server or the mailbox has no room left',
  TIMEOUT: 'the mail server does not answer',
  TOO_LARGE: 'the mail is larger than the mail server takes',
  UNAVAILABLE: 'the mail server cannot be reached or is not ready',
};

interface Refusal extends Error {
  readonly responseCode?: unknown;
  readonly response?: unknown;
  readonly command?: unknown;
  readonly rejectedErrors?: unknown;
}

function codeOf(error: unknown): DestinationErrorCode {
  if (!Error.isError(error)) return 'UNKNOWN';
  const { rejectedErrors } = error as Refusal;
  if (Array.isArray(rejectedErrors) && rejectedErrors.length > 0) return codeOfAll(rejectedErrors);
  const code = 'code' in error ? error.code : undefined;
  // Whatever a server without TLS answers to the wish for it.
  const reply = code === 'ETLS' ? undefined : codeOfReply(error);
  if (reply !== undefined) return reply;
  if (code === 'EMESSAGE' && /size/i.test(error.message)) return 'TOO_LARGE';
  return (typeof code === 'string' ? CODES.get(code) : undefined) ?? 'UNKNOWN';
}

/** Every recipient was refused: for good only where each of them was. */
function codeOfAll(errors: readonly unknown[]): DestinationErrorCode {
  const temporary = errors.filter((error) => (replyCodeOf(error) ?? 0) < 500);
  if (temporary.length === 0) return 'REJECTED';
  const [first] = temporary;
  return (Error.isError(first) ? codeOfReply(first) : undefined) ?? 'UNAVAILABLE';
}

function codeOfReply(error: Refusal): DestinationErrorCode | undefined {
  const replyCode = replyCodeOf(error);
  if (replyCode === undefined) return undefined;
  const { response, command } = error;
  const enhanced =
    typeof response === 'string' ? /^\d{3}[ -][245]\.(\d{1,3}\.\d{1,3})\b/.exec(response)?.[1] : undefined;
  const code = ENHANCED.get(enhanced ?? '') ?? CODES.get(replyCode);
  if (code === 'REJECTED' && typeof command === 'string' && (OURS.has(command) || command.startsWith('AUTH')))
    return 'ACCESS_DENIED';
  if (code !== undefined) return code;
  if (replyCode >= 400 && replyCode < 500) return 'UNAVAILABLE';
  return replyCode >= 500 && replyCode < 600 ? 'REJECTED' : undefined;
}

/** Reply of the server to whatever the error is about. Undefined: it did not come to that. */
export function replyCodeOf(error: unknown): number | undefined {
  if (!Error.isError(error)) return undefined;
  const { responseCode } = error as Refusal;
  return typeof responseCode === 'number' && responseCode > 0 ? responseCode : undefined;
}

/** The server takes no mail of this size. */
export function isTooLarge(error: unknown): boolean {
  return codeOf(error) === 'TOO_LARGE';
}

/** The connection is gone; what was under way may have happened or not. */
export function isConnectionLoss(error: unknown): boolean {
  return (
    replyCodeOf(error) === undefined &&
    codeOf(error) === 'UNAVAILABLE' &&
    !(error instanceof DestinationError)
  );
}
