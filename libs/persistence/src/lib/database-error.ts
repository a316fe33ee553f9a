import { QueryFailedError, TypeORMError } from 'typeorm';

/** `transient`: a later try of the same work can succeed. `poison`: it may be the data, bisection proves it. */
export type Fault = 'transient' | 'poison';

/**
 * Classes of SQLSTATE that the data of a statement can cause: cardinality, data, constraints, check option,
 * program limits, and what our own functions raise. All others speak of the server, the connection, the
 * schema or our neighbours, and pass.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const DATA_CLASSES: ReadonlySet<string> = new Set(['21', '22', '23', '44', '54', 'P0']);

/** What pg says, without a code, when a connection is gone or did not come in time. */
const LOST_CONNECTION =
  /connection terminated|connection error and is not queryable|closed and is not queryable|query read timeout|timeout exceeded when trying to connect|after calling end on the pool|does not support ssl|establishing an ssl/i;

const LOST_ORM_CONNECTION: ReadonlySet<string> = new Set([
  'CannotExecuteNotConnectedError',
  'ConnectionIsNotSetError',
  'QueryRunnerAlreadyReleasedError',
]);

interface ServerFault {
  readonly sqlState: string;
  readonly message: string;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;
}

/**
 * What went wrong at PostgreSQL, safe to log and to store: where the data caused it the server's own words,
 * which quote the data, are left out.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  /** For an HTTP answer: try again later, or it is our fault. */
  readonly statusCode: 500 | 503;

  constructor(
    message: string,
    readonly fault: Fault,
    /** Five characters, where the server answered. */
    readonly sqlState?: string,
    readonly constraint?: string,
  ) {
    super(message);
    this.statusCode = fault === 'transient' ? 503 : 500;
  }
}

/** @param doing in the present participle, for example `querying PostgreSQL`. */
export function toDatabaseError(error: unknown, doing = 'querying PostgreSQL'): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const server = serverFaultOf(error);
  if (!server)
    return new DatabaseError(`${doing}: ${clientWords(error)}`, isOurs(error) ? 'poison' : 'transient');

  const fault = faultOfSqlState(server.sqlState);
  const { schema, table, column, constraint } = server;
  const place = [
    table && `table ${[schema, table].filter(Boolean).join('.')}`,
    column && `column ${column}`,
    constraint && `constraint ${constraint}`,
  ].filter(Boolean);
  const words = fault === 'poison' ? place.join(', ') : server.message;
  const message = `${doing}: SQLSTATE ${server.sqlState}${words && `: ${words}`}`;
  return new DatabaseError(message, fault, server.sqlState, constraint);
}

/**
 * The one place that tells a lost database from a bad message. Whatever the database layer cannot prove to
 * come from the data is waited out; an error of our own code is for the caller's bisection.
 */
export function faultOf(error: unknown): Fault {
  if (error instanceof DatabaseError) return error.fault;
  const server = serverFaultOf(error);
  if (server) return faultOfSqlState(server.sqlState);
  if (isLostConnection(error)) return 'transient';
  const { permanent } = membersOf(error);
  if (typeof permanent === 'boolean') return permanent ? 'poison' : 'transient';
  return 'poison';
}

function faultOfSqlState(sqlState: string): Fault {
  return DATA_CLASSES.has(sqlState.slice(0, 2)) ? 'poison' : 'transient';
}

function serverFaultOf(error: unknown): ServerFault | undefined {
  if (error instanceof QueryFailedError) return serverFaultOf(error.driverError);
  const { code, severity, message, schema, table, column, constraint } = membersOf(error);
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code) || typeof severity !== 'string')
    return undefined;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return {
    sqlState: code,
    message: text(message) ?? '',
    schema: text(schema),
    table: text(table),
    column: text(column),
    constraint: text(constraint),
  };
}

function isLostConnection(error: unknown): boolean {
  if (error instanceof QueryFailedError) return isLostConnection(error.driverError);
  if (!(error instanceof Error)) return false;
  if (error instanceof TypeORMError) {
    return LOST_ORM_CONNECTION.has(error.name) || error.message === 'Driver not Connected';
  }
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return true;
  const { code } = membersOf(error);
  return systemCode(code) !== undefined || LOST_CONNECTION.test(error.message);
}

/** Values that cannot be made into parameters; a connection fails with other errors. */
function isOurs(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

/** `ECONNRESET` and its kind, not `ERR_INVALID_ARG_TYPE`. */
function systemCode(code: unknown): string | undefined {
  return typeof code === 'string' && /^E(?!RR_)[A-Z0-9_]+$/.test(code) ? code : undefined;
}

function clientWords(error: unknown): string {
  const inner = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  return systemCode(membersOf(inner)['code']) ?? (inner instanceof Error ? inner.message : 'unknown');
}

function membersOf(error: unknown): Readonly<Record<string, unknown>> {
  return typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {};
}
