import { describe, expect, it } from '@jest/globals';
import { QueryFailedError, QueryRunnerAlreadyReleasedError } from 'typeorm';

import { faultOf, toDatabaseError } from './database-error.js';

/** As the pg driver reports an answer of the server. */
function serverError(code: string, members: Record<string, string> = {}): Error {
  return Object.assign(new Error(members['message'] ?? 'words of the server'), {
    code,
    severity: 'ERROR',
    ...members,
  });
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code, errno: -111, syscall: 'connect' });
}

describe('faultOf', () => {
  it.each(['22P02', '22001', '22003', '23505', '23514', '23502', '21000', '54000'])(
    'takes SQLSTATE %s for poison: data can cause it',
    (code) => {
      expect(faultOf(serverError(code))).toBe('poison');
      expect(faultOf(new QueryFailedError('SELECT', [], serverError(code)))).toBe('poison');
      expect(faultOf(toDatabaseError(serverError(code)))).toBe('poison');
    },
  );

  it.each([
    '08006',
    '25006',
    '25P02',
    '28P01',
    '3D000',
    '40001',
    '40P01',
    '42P01',
    '53300',
    '55P03',
    '57P01',
    '57014',
    '58030',
    'XX000',
  ])('waits out SQLSTATE %s: no message causes it', (code) => {
    expect(faultOf(serverError(code))).toBe('transient');
    expect(faultOf(new QueryFailedError('SELECT', [], serverError(code)))).toBe('transient');
    expect(faultOf(toDatabaseError(serverError(code)))).toBe('transient');
  });

  it.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND', 'EAI_AGAIN'])(
    'waits out %s, which has no SQLSTATE',
    (code) => {
      expect(faultOf(systemError(code))).toBe('transient');
      expect(faultOf(new QueryFailedError('SELECT', [], systemError(code)))).toBe('transient');
      expect(faultOf(Object.assign(new AggregateError([systemError(code)]), { code }))).toBe('transient');
    },
  );

  it.each([
    'Connection terminated unexpectedly',
    'Connection terminated',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
    'Query read timeout',
  ])('waits out the driver saying "%s"', (words) => {
    expect(faultOf(new Error(words))).toBe('transient');
  });

  it('waits out a connection that the ORM has lost', () => {
    expect(faultOf(new QueryRunnerAlreadyReleasedError())).toBe('transient');
  });

  it('leaves errors of our own code to the bisection', () => {
    expect(faultOf(new TypeError('reading undefined'))).toBe('poison');
    expect(faultOf(Object.assign(new TypeError('bad argument'), { code: 'ERR_INVALID_ARG_TYPE' }))).toBe(
      'poison',
    );
    expect(faultOf('text')).toBe('poison');
    expect(faultOf(undefined)).toBe('poison');
  });

  it('believes an error that says itself whether it will pass', () => {
    expect(faultOf(Object.assign(new Error('publishing'), { permanent: false }))).toBe('transient');
    expect(faultOf(Object.assign(new Error('publishing'), { permanent: true }))).toBe('poison');
  });
});

describe('toDatabaseError', () => {
  it('names the constraint and keeps the values that broke it to itself', () => {
    const error = toDatabaseError(
      serverError('23505', {
        message: 'duplicate key value: jo@example.org',
        detail: 'Key (email)=(jo@example.org) already exists.',
        schema: 'loom',
        table: 'threads',
        constraint: 'threads_pkey',
      }),
    );
    expect(error.message).toBe(
      'querying PostgreSQL: SQLSTATE 23505: table loom.threads, constraint threads_pkey',
    );
    expect(error).toMatchObject({ sqlState: '23505', constraint: 'threads_pkey', statusCode: 500 });
    expect(JSON.stringify([error, error.stack, error.cause, Object.entries(error)])).not.toContain(
      'jo@example.org',
    );
  });

  it.each([
    new Error('Connection terminated unexpectedly'),
    Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
    'nothing that we know',
  ])('waits out whatever keeps us from the server: %s', (error) => {
    expect(toDatabaseError(error).fault).toBe('transient');
  });

  it('does not wait out a value that cannot be a parameter', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    let error: unknown;
    try {
      JSON.stringify(circular);
    } catch (caught) {
      error = caught;
    }
    expect(toDatabaseError(error).fault).toBe('poison');
  });

  it('keeps the words of the server where they speak of our deployment', () => {
    const error = toDatabaseError(serverError('42P01', { message: 'relation "loom.x" does not exist' }));
    expect(error.message).toBe('querying PostgreSQL: SQLSTATE 42P01: relation "loom.x" does not exist');
    expect(error.statusCode).toBe(503);
  });
});
