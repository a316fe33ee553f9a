import type { z } from 'zod';

import type { Fault } from '@heddle/contracts';
import { ProblemError, faultsOf } from '@heddle/platform';

import { MAX_FAULTS } from './json-body.js';
import type { JsonBody } from './json-body.js';

/** @throws {ProblemError} 400 where there is none. */
export function bodyIn(body: JsonBody | undefined): JsonBody {
  if (body?.value !== undefined) return body;
  const message = 'a body is required';
  throw new ProblemError(400, message, { errors: [{ pointer: '', code: 'required', message }] });
}

/**
 * The body by its contract.
 *
 * @throws {ProblemError} 400 with every fault: those of the contract and those of the text.
 */
export function validate<T extends z.ZodType>(schema: T, sent: JsonBody | undefined): z.output<T> {
  const body = bodyIn(sent);
  const parsed = schema.safeParse(body.value, { reportInput: true });
  if (parsed.success && body.faults.length === 0) return parsed.data;
  throw invalid([...body.faults, ...(parsed.success ? [] : faultsOf(parsed.error))]);
}

/** One fault of a kind in each place. */
export function invalid(faults: readonly Fault[]): ProblemError {
  const unique = new Map(faults.map((fault) => [`${fault.code} ${fault.pointer}`, fault]));
  const errors = [...unique.values()];
  const items = new Set(errors.map(({ pointer }) => /^\/\d+/.exec(pointer)?.[0]));
  const what = items.has(undefined) ? counted(errors.length, 'fault') : counted(items.size, 'invalid item');
  return new ProblemError(400, what, { errors: errors.slice(0, MAX_FAULTS) });
}

function counted(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}
