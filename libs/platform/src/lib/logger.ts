import type { LoggerService } from '@nestjs/common';
import { pino, stdTimeFunctions } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type { Logger } from 'pino';

/** Members that never reach a log, wherever they stand. */
const SECRET_MEMBERS: ReadonlySet<string> = new Set([
  'authorization',
  'authentication',
  'apikey',
  'apiKey',
  'key',
  'password',
  'passphrase',
  'privateKey',
  'secret',
  'settings',
  'sealedSettings',
  'document',
  'body',
  'value',
  'password-secret',
  'private-key-secret',
  'passphrase-secret',
  'access-key-secret',
  'secret-key-secret',
  'connection-string-secure',
  'hook-url',
]);
const MAX_DEPTH = 8;

/**
 * A copy without secrets. In place of pino's own `redact`, which reads its list of paths anew for each line (a quarter of
 * what a worker did) and looks no deeper than its paths say.
 */
function redacted(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((member) => redacted(member, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  // Errors and the like have serializers of their own.
  if (prototype !== Object.prototype && prototype !== null) return value;
  if (depth >= MAX_DEPTH) return '[too deep]';
  if (isPlain(value as Readonly<Record<string, unknown>>)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      SECRET_MEMBERS.has(name) ? '[redacted]' : redacted(member, depth + 1),
    ]),
  );
}

/** Nothing in it is secret or has members of its own, as in most lines: no copy is needed. */
function isPlain(value: Readonly<Record<string, unknown>>): boolean {
  for (const name in value) {
    const member = value[name];
    if (SECRET_MEMBERS.has(name) || (typeof member === 'object' && member !== null)) return false;
  }
  return true;
}

/**
 * JSON lines on stdout: `msg` is a constant, the rest is fields. Errors appear as type,
 * message, code and stack; what else hangs on an error object (a driver puts queries and
 * parameters there) stays out.
 */
export function createLogger(options: {
  readonly service: string;
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly destination?: DestinationStream;
}): Logger {
  const settings = {
    level: options.level,
    base: { service: options.service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (line: object) => redacted(line) as Record<string, unknown>,
    },
    serializers: { err: (error: unknown) => (error instanceof Error ? describeError(error) : error) },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

interface ErrorDescription {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

/** Our own view of an error. Only a few levels of `cause`, as a cycle is possible. */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined || depth > 0 ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}

/** Nest's own lines: only what somebody must act on, the rest at debug. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: unknown): void {
    this.logger.debug({ context, text: String(message) }, 'nest');
  }
  debug(message: unknown, context?: unknown): void {
    this.log(message, context);
  }
  verbose(message: unknown, context?: unknown): void {
    this.log(message, context);
  }
  warn(message: unknown, context?: unknown): void {
    this.logger.warn({ context, text: String(message) }, 'nest.warning');
  }
  error(message: unknown, stack?: unknown, context?: unknown): void {
    this.logger.error({ context, text: String(message), stack }, 'nest.error');
  }
}
