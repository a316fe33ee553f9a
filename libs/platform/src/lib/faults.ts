import type { z } from 'zod';

import type { Fault } from '@heddle/contracts';

import { ProblemError } from './problem.js';

type Issue = z.core.$ZodIssue;

/** RFC 6901. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * Every fault of a parse, in the words of the contract. Neither submitted values nor unknown
 * names are repeated: they may be personal data.
 */
export function faultsOf(error: z.ZodError, prefix = ''): readonly Fault[] {
  return error.issues.flatMap((issue) => faultOf(issue, prefix));
}

function faultOf(issue: Issue, prefix: string): readonly Fault[] {
  const pointer = prefix + jsonPointer(issue.path);
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) {
        return [{ pointer, code: 'required', message: `${lastOf(issue.path)} is required` }];
      }
      return [{ pointer, code: issue.expected === 'array' ? 'array' : 'type', message: issue.message }];
    case 'too_small':
    case 'too_big':
      return [{ pointer, code: sizeCode(issue), message: issue.message }];
    case 'unrecognized_keys':
      return [{ pointer, code: 'unknown', message: `${String(issue.keys.length)} unknown member(s)` }];
    case 'invalid_format':
    case 'invalid_value':
      return [{ pointer, code: 'pattern', message: issue.message }];
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
      if ('input' in issue && issue.input === undefined) {
        return [{ pointer, code: 'required', message: `${lastOf(issue.path)} is required` }];
      }
      return [{ pointer, code: 'type', message: issue.message }];
    case 'not_multiple_of':
      return [{ pointer, code: 'range', message: issue.message }];
    case 'custom':
      return [{ pointer, code: 'conflict', message: issue.message }];
  }
}

function sizeCode(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): Fault['code'] {
  if (issue.origin === 'string') return 'length';
  if (issue.origin === 'array') return issue.code === 'too_big' ? 'too_many' : 'array';
  return 'range';
}

function lastOf(path: readonly PropertyKey[]): string {
  const last = path.findLast((part) => typeof part === 'string');
  return last ?? 'the value';
}

/**
 * Parses what came from outside.
 *
 * @throws {ProblemError} 400 with every fault.
 */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown, prefix = ''): z.output<T> {
  return parsed(schema, input, (error) => faultsOf(error, prefix));
}

/**
 * Parses the parameters of a query.
 *
 * @throws {ProblemError} 400 with every fault, each named after its parameter: `?limit`.
 */
export function parseQuery<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  return parsed(schema, query, (error) =>
    faultsOf(error).map((fault) => ({ ...fault, pointer: `?${fault.pointer.slice(1)}` })),
  );
}

function parsed<T extends z.ZodType>(
  schema: T,
  input: unknown,
  faults: (error: z.ZodError) => readonly Fault[],
): z.output<T> {
  const result = schema.safeParse(input, { reportInput: true });
  if (result.success) return result.data;
  const errors = faults(result.error);
  throw new ProblemError(400, errors.length === 1 ? '1 fault' : `${String(errors.length)} faults`, {
    errors,
  });
}
